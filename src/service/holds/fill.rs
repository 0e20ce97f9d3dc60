//! Registers that the holds' store does not have: they are read from the ledger and pushed. So an emptied Redis fills
//! itself on demand.
//!
//! Callers share fills. While one fill of a location is under way, the callers who come gather and share the next one.
//! So any number of callers of one sku make two statements at most, and callers of many skus share statements. A fill
//! reads what is committed after its callers have asked. If a fill fails, callers queued behind it would meet the same
//! failure, so they fail with it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::domain::{Location, Refusal, Sku};
use crate::holds::Command;
use crate::holds::batched::BatchedHolds;
use crate::ledger::Ledger;
use crate::service::error::Error;

/// How long a sku that the ledger does not have is remembered, so that repeated requests for it do not reach the
/// database. A sku that is created meanwhile is seen at once: creating it pushes its register, and registers are looked
/// at first.
const UNKNOWN_SKU_TTL: Duration = Duration::from_secs(3);

/// How many unknown skus are remembered.
const UNKNOWN_SKUS_MAX: u64 = 10_000;

/// A fill takes no further callers once it has this many skus, so that it stays one statement and one short command.
const FILL_SKUS: usize = 400;

/// Fills registers. A clone is another handle to the same.
#[derive(Clone)]
pub(super) struct Fills(Arc<Inner>);

struct Inner {
    store: BatchedHolds,
    ledger: Ledger,
    /// Since when.
    unknown_skus: Cache<(Location, Sku), Instant>,
    /// Callers whose fill has not begun. A location that is in here has a task that fills.
    waiting: Mutex<HashMap<Location, VecDeque<Caller>>>,
}

struct Caller {
    skus: Vec<Sku>,
    answer: oneshot::Sender<Result<(), Error>>,
}

impl Fills {
    pub(super) fn new(store: BatchedHolds, ledger: Ledger) -> Self {
        // The cache's own clock only throws away what is old.
        let unknown_skus = Cache::builder().max_capacity(UNKNOWN_SKUS_MAX).time_to_live(UNKNOWN_SKU_TTL).build();
        Self(Arc::new(Inner { store, ledger, unknown_skus, waiting: Mutex::default() }))
    }

    /// Forgets that these skus were unknown.
    pub(super) fn created(&self, location: &Location, skus: &[Sku]) {
        for sku in skus {
            self.0.unknown_skus.invalidate(&(location.clone(), sku.clone()));
        }
    }

    /// Pushes the rows of these skus.
    ///
    /// # Errors
    /// Refused: `UnknownSkus`, if the ledger lacks one of them.
    pub(super) async fn fill(&self, location: &Location, skus: Vec<Sku>) -> Result<(), Error> {
        check_known(&skus, |sku| self.0.is_unknown(location, sku))?;
        let (answer, answered) = oneshot::channel();
        self.enqueue(location, Caller { skus, answer });
        answered.await.unwrap_or_else(|_| Err(Error::broken("a fill of registers broke down")))
    }

    fn enqueue(&self, location: &Location, caller: Caller) {
        let mut waiting = self.0.waiting();
        if let Some(callers) = waiting.get_mut(location) {
            callers.push_back(caller);
        } else {
            waiting.insert(location.clone(), VecDeque::from([caller]));
            let task = FillTask { inner: Arc::clone(&self.0), location: location.clone(), is_over: false };
            tokio::spawn(task.run());
        }
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, HashMap<Location, VecDeque<Caller>>> {
        // Nothing that can panic is done under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_unknown(&self, location: &Location, sku: &Sku) -> bool {
        let since = self.unknown_skus.get(&(location.clone(), sku.clone()));
        since.is_some_and(|since| since.elapsed() < UNKNOWN_SKU_TTL)
    }

    /// Pushes the rows of these skus. Answers the skus that have none.
    async fn push_rows(&self, location: &Location, skus: Vec<Sku>) -> Result<BTreeSet<Sku>, Error> {
        let rows = self.ledger.rows(location, &skus).await?;
        let (known, unknown): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, row)| row.is_some());
        let unknown: BTreeSet<_> = unknown.into_iter().map(|(sku, _)| sku).collect();
        for sku in &unknown {
            self.unknown_skus.insert((location.clone(), sku.clone()), Instant::now());
        }
        if !known.is_empty() {
            self.store.apply(location, Command::Push { rows: known }).await?;
        }
        Ok(unknown)
    }
}

/// Refuses if some of the skus are unknown.
fn check_known(skus: &[Sku], is_unknown: impl Fn(&Sku) -> bool) -> Result<(), Error> {
    let unknown: Vec<_> = skus.iter().filter(|sku| is_unknown(sku)).cloned().collect();
    if unknown.is_empty() { Ok(()) } else { Err(Refusal::UnknownSkus(unknown).into()) }
}

/// Fills the registers of one location until no caller waits.
struct FillTask {
    inner: Arc<Inner>,
    location: Location,
    is_over: bool,
}

impl FillTask {
    async fn run(mut self) {
        while let Some((callers, skus)) = self.next() {
            let filled = self.inner.push_rows(&self.location, skus).await;
            let behind = if filled.is_err() { self.take_all() } else { Vec::new() };
            for Caller { skus, answer } in callers.into_iter().chain(behind) {
                let result = match &filled {
                    Ok(unknown) => check_known(&skus, |sku| unknown.contains(sku)),
                    Err(error) => Err(error.clone()),
                };
                // The caller may have left, and then needs no answer.
                let _ = answer.send(result);
            }
        }
    }

    /// The next callers and what they need, each sku once. `None` ends the task: the next caller starts another.
    fn next(&mut self) -> Option<(Vec<Caller>, Vec<Sku>)> {
        let mut waiting = self.inner.waiting();
        let queue = waiting.get_mut(&self.location)?;
        let (mut callers, mut skus) = (Vec::new(), BTreeSet::new());
        while skus.len() < FILL_SKUS
            && let Some(caller) = queue.pop_front()
        {
            if !caller.answer.is_closed() {
                skus.extend(caller.skus.iter().cloned());
                callers.push(caller);
            }
        }
        if callers.is_empty() {
            waiting.remove(&self.location);
            self.is_over = true;
            return None;
        }
        Some((callers, skus.into_iter().collect()))
    }

    fn take_all(&self) -> Vec<Caller> {
        self.inner.waiting().get_mut(&self.location).map(std::mem::take).into_iter().flatten().collect()
    }
}

/// Should the task panic, its callers are not left waiting, and the next caller starts another.
impl Drop for FillTask {
    fn drop(&mut self) {
        if !self.is_over {
            self.inner.waiting().remove(&self.location);
        }
    }
}
