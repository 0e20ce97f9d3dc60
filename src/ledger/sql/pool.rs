//! The pool of connections, and its replacement once it is spoiled.
//!
//! When a connection comes back, sqlx asks its server whether all is well, and waits for the answer for ever; it also
//! may when it closes one. So the place of a connection whose server fell silent is lost. When no connection is to be
//! had although the database answers to a new one, the pool has no place left: then another takes over. What is left of
//! the old one ends with its connections.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sea_orm::{ConnAcquireErr, DatabaseConnection, DbErr};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::dialect::Dialect;
use super::open::Address;
use crate::ledger::repeat::{REPEAT_WITHIN, repeat, silent};
use crate::ledger::{ACQUIRE_TIMEOUT, LedgerError};

/// How long a pool is kept at least: a database that answers, and never ends what it is asked, must not be given one
/// connection after the other.
const KEPT_MIN: Duration = Duration::from_secs(30);

/// A clone is another handle to the same one.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    address: Address,
    connections_max: u32,
    current: RwLock<Current>,
    /// Since when the present one is in its place, unless it is the first; held by whoever replaces it.
    replaced: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Current {
    db: DatabaseConnection,
    number: u64,
}

impl Pool {
    /// Connects, or says within seconds why not.
    pub(super) async fn open(url: &str, connections_max: u32) -> Result<Self, LedgerError> {
        let address = Address::parse(url)?;
        timeout(ACQUIRE_TIMEOUT, address.probe()).await.map_err(|_| silent(ACQUIRE_TIMEOUT))??;
        // SQLite may be busy when several connect to a new file: the first of them changes its journal.
        let db = repeat(Instant::now() + REPEAT_WITHIN, || address.pool(connections_max)).await?;
        let current = RwLock::new(Current { db, number: 0 });
        Ok(Self(Arc::new(Inner { address, connections_max, current, replaced: Mutex::default() })))
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.0.address.dialect()
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.address
    }

    /// The connections as they are now.
    pub(super) fn db(&self) -> DatabaseConnection {
        self.current().db
    }

    /// Runs what needs a connection. Where none was to be had, the next call may find a new pool.
    pub(super) async fn with<T, F>(&self, work: impl FnOnce(DatabaseConnection) -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let Current { db, number } = self.current();
        let result = work(db).await;
        if result.as_ref().is_err_and(found_no_place) {
            // The caller has waited long enough.
            tokio::spawn(self.clone().renew(number));
        }
        result
    }

    fn current(&self) -> Current {
        // It holds two values that are written together.
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the pool of this number, unless somebody did so already, if the database answers to a new connection.
    async fn renew(self, spoiled: u64) {
        let Inner { address, connections_max, current, replaced } = &*self.0;
        let Ok(mut replaced) = replaced.try_lock() else { return };
        if replaced.is_some_and(|since| since.elapsed() < KEPT_MIN) || self.current().number != spoiled {
            return;
        }
        if !matches!(timeout(ACQUIRE_TIMEOUT, address.probe()).await, Ok(Ok(()))) {
            return;
        }
        if let Ok(db) = address.pool(*connections_max).await {
            tracing::warn!("connections to the database were lost without a word: all are replaced");
            let new = Current { db, number: spoiled + 1 };
            *current.write().unwrap_or_else(PoisonError::into_inner) = new;
            *replaced = Some(Instant::now());
        }
    }
}

fn found_no_place(error: &LedgerError) -> bool {
    let LedgerError::Unavailable(error) = error else { return false };
    matches!(error.cause.downcast_ref(), Some(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)))
}
