//! Changes of rows whose outcome is unknown are followed until it is known. Then their rows are pushed.
//!
//! Sync finds changed rows by their version, and looks back a bounded time. A row gets its version before its commit
//! makes it visible, and a database whose disk or replica stalls may delay a COMMIT for longer than that. The ledger
//! gives up on such a commit long before, so its outcome is unknown then. The transaction keeps its rows locked until
//! it ends. So the rows are read behind their locks, and what is read is final for this change.
//!
//! A row that did not exist needs no following, because it has no register that could be old. What is followed is lost
//! with the instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::error::Error;
use crate::domain::{Location, Sku};
use crate::holds::Command;
use crate::holds::batched::BatchedHolds;
use crate::ledger::Ledger;
use crate::telemetry::chain;

/// How long after a change the rows are read, and how often after that.
const ATTEMPT_EVERY: Duration = Duration::from_secs(1);

/// How many skus are read and pushed at a time: those of the largest change.
const SKUS_AT_ONCE: usize = 100;

/// How many skus wait to be followed at most.
const SKUS_MAX: usize = 10_000;

/// Follows changes. A clone is another handle to the same.
#[derive(Clone)]
pub(super) struct Follower(Arc<Inner>);

struct Inner {
    store: BatchedHolds,
    ledger: Ledger,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    skus: BTreeMap<Location, BTreeSet<Sku>>,
    count: usize,
    is_running: bool,
    has_dropped: bool,
}

impl Follower {
    pub(super) fn new(store: BatchedHolds, ledger: Ledger) -> Self {
        Self(Arc::new(Inner { store, ledger, waiting: Mutex::default() }))
    }

    /// Follows a change of these rows.
    pub(super) fn follow<'a>(&self, location: &Location, skus: impl IntoIterator<Item = &'a Sku>) {
        let mut waiting = self.0.waiting();
        let is_complete = waiting.add(location, skus.into_iter().cloned());
        if !is_complete && !std::mem::replace(&mut waiting.has_dropped, true) {
            tracing::warn!(
                skus = SKUS_MAX,
                "too many stock rows were changed with an unknown outcome to follow them all; run \
                 `stockhold reconcile` once the database is back"
            );
        }
        if !std::mem::replace(&mut waiting.is_running, true) {
            tokio::spawn(Run(Arc::clone(&self.0)).until_idle());
        }
    }
}

impl Waiting {
    /// Adds skus while there is room. Answers whether there was room for all.
    fn add(&mut self, location: &Location, skus: impl Iterator<Item = Sku>) -> bool {
        for sku in skus {
            let of_location = self.skus.entry(location.clone()).or_default();
            if of_location.contains(&sku) {
                continue;
            }
            if self.count >= SKUS_MAX {
                return false;
            }
            of_location.insert(sku);
            self.count += 1;
        }
        true
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that can panic is done under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn push_final_rows(&self, location: &Location, skus: &[Sku]) -> Result<(), Error> {
        let rows = self.ledger.rows_behind_locks(location, skus).await?;
        let known = rows.into_iter().filter(|(_, row)| row.is_some()).collect();
        self.store.apply(location, Command::Push { rows: known }).await?;
        Ok(())
    }
}

/// The task that follows. Should it panic, the next change starts another.
struct Run(Arc<Inner>);

impl Run {
    async fn until_idle(self) {
        loop {
            sleep(ATTEMPT_EVERY).await;
            let all = {
                let mut waiting = self.0.waiting();
                if waiting.skus.is_empty() {
                    *waiting = Waiting::default();
                    return;
                }
                waiting.count = 0;
                std::mem::take(&mut waiting.skus)
            };
            for (location, skus) in all {
                for some in skus.into_iter().collect::<Vec<_>>().chunks(SKUS_AT_ONCE) {
                    if let Err(error) = self.0.push_final_rows(&location, some).await {
                        tracing::debug!(
                            location = location.as_str(),
                            error = chain(&error),
                            "the outcome of a change is unknown yet"
                        );
                        self.0.waiting().add(&location, some.iter().cloned());
                    }
                }
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.0.waiting().is_running = false;
    }
}
