//! The pool of connections, and its replacement once it is spoiled.
//!
//! When a connection comes back, sqlx asks its server whether all is well, and waits for the answer for ever; it also may when it closes one. So the place of a
//! connection whose server fell silent is lost. When no connection is to be had although the database answers to a new one, the pool has no place left: then another
//! takes over. What is left of the old one ends with its connections.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use sea_orm::{ConnAcquireErr, Database, DatabaseConnection, DbErr};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::LedgerError;
use super::dialect::{ACQUIRE_TIMEOUT, Dialect};
use super::repeat::{REPEAT_WITHIN, repeat, silent};

/// A clone is another handle to the same one.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    url: String,
    dialect: Dialect,
    connections_max: u32,
    current: RwLock<Current>,
    /// Held by whoever replaces the pool.
    renewing: Mutex<()>,
}

#[derive(Clone)]
struct Current {
    db: DatabaseConnection,
    number: u64,
}

impl Pool {
    /// Connects, or says within seconds why not.
    pub(super) async fn open(url: &str, connections_max: u32) -> Result<Self, LedgerError> {
        let dialect = Dialect::of_url(url)?;
        timeout(ACQUIRE_TIMEOUT, dialect.probe(url)).await.map_err(|_| silent(ACQUIRE_TIMEOUT))??;
        // SQLite may be busy when several connect to a new file: the first of them changes its journal.
        let connect = || async { Ok(Database::connect(Dialect::connect_options(url, connections_max)).await?) };
        let db = repeat(Instant::now() + REPEAT_WITHIN, connect).await?;
        let current = RwLock::new(Current { db, number: 0 });
        Ok(Self(Arc::new(Inner { url: url.to_owned(), dialect, connections_max, current, renewing: Mutex::default() })))
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    pub(super) fn url(&self) -> &str {
        &self.0.url
    }

    /// The connections as they are now.
    pub(super) fn db(&self) -> DatabaseConnection {
        self.current().db
    }

    /// As [`repeat`], with a new pool where that helps.
    pub(super) async fn repeat<T, F>(
        &self,
        until: Instant,
        work: impl Fn(DatabaseConnection) -> F,
    ) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let try_once = || async {
            let Current { db, number } = self.current();
            match work(db).await {
                Err(LedgerError::Unavailable(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)))
                    if self.renew(number).await =>
                {
                    work(self.db()).await
                }
                result => result,
            }
        };
        repeat(until, try_once).await
    }

    fn current(&self) -> Current {
        // It holds two values that are written together.
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the pool of this number, unless somebody did so already. False if the database does not answer.
    async fn renew(&self, spoiled: u64) -> bool {
        let Inner { url, dialect, connections_max, current, renewing } = &*self.0;
        let _renewing = renewing.lock().await;
        if self.current().number != spoiled {
            return true;
        }
        if !matches!(timeout(ACQUIRE_TIMEOUT, dialect.probe(url)).await, Ok(Ok(()))) {
            return false;
        }
        match Database::connect(Dialect::connect_options(url, *connections_max)).await {
            Ok(db) => {
                tracing::warn!("connections to the database were lost without a word: they are replaced");
                *current.write().unwrap_or_else(PoisonError::into_inner) = Current { db, number: spoiled + 1 };
                true
            }
            Err(_) => false,
        }
    }
}
