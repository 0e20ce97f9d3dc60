//! The pool of connections, and its replacement once its connections are stuck.
//!
//! When a connection comes back, sqlx pings its server and waits for the answer without a bound, and so it does when it
//! closes one (github.com/transact-rs/sqlx/issues/4349; once that is fixed this replacement can go).
//! So the place of a connection whose server fell silent is lost. When the pool has no connection to give although the
//! database answers a new one, it has no place left, and another pool takes over. What is left of the old one ends with
//! its connections.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sea_orm::{ConnAcquireErr, DatabaseConnection, DbErr};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::dialect::Dialect;
use super::open::Address;
use crate::ledger::error::LedgerError;
use crate::ledger::repeat::{ACQUIRE_TIMEOUT, REPEAT_WITHIN, repeat, within};

/// How long a pool is kept at least. A database that answers, but never ends what it is asked, must not be given one
/// connection after the other.
const KEPT_MIN: Duration = Duration::from_secs(30);

/// A clone is another handle to the same one.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    address: Address,
    connections_max: u32,
    current: RwLock<Current>,
    /// When the present pool replaced another one, if it did. The lock is held while one replaces it.
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
        within(ACQUIRE_TIMEOUT, address.probe()).await?;
        // SQLite may be busy when several processes connect to a new file: the first of them changes its journal.
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

    /// Runs what needs a connection. If there was none, the next call may find a new pool.
    pub(super) async fn with<T, F>(&self, work: impl FnOnce(DatabaseConnection) -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let Current { db, number } = self.current();
        let result = work(db).await;
        if result.as_ref().is_err_and(found_no_place) {
            // It runs on its own, because the caller has waited long enough.
            tokio::spawn(self.clone().renew(number));
        }
        result
    }

    fn current(&self) -> Current {
        // A panic cannot leave it half written.
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the pool of this number, unless that was done already, if the database answers a new connection.
    async fn renew(self, spoiled: u64) {
        let Inner { address, connections_max, current, replaced } = &*self.0;
        let Ok(mut replaced) = replaced.try_lock() else { return };
        if replaced.is_some_and(|since| since.elapsed() < KEPT_MIN) || self.current().number != spoiled {
            return;
        }
        if within(ACQUIRE_TIMEOUT, address.probe()).await.is_err() {
            return;
        }
        if let Ok(db) = address.pool(*connections_max).await {
            tracing::warn!("connections to the database fell silent: all are replaced");
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
