//! The ledger: supply and settled reservations, durable, in MySQL (MySQL 8, MariaDB) or SQLite.
//!
//! Promises:
//! - The first settlement of a reservation wins and never changes; a `Confirmed` one is committed together with its
//!   deductions and the lowered `on_hand`, once, and never takes `on_hand` below `floor`.
//! - Nobody is answered before the commit, and rows are answered as they stand at the end of the batch that was
//!   committed.
//! - Every change of a stock row gives it a larger version, at least the database's time in microseconds.
//! - The books balance: `on_hand = sum(movements.delta) - sum(deductions.quantity)`.
//!
//! An error of `Place::settle`, `set_stock` or `adjust_stock` may hide a commit; repeating the call under the same id
//! gives the true answer. It does not know holds.

mod batch;
mod change;
mod commit;
pub mod database;
mod decide;
mod lanes;
mod queue;
mod repeat;
mod sql;
mod supply;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::domain::{
    Adjustment, Fingerprint, Lines, Location, Refusal, RequestId, ReservationId, Settlement, Shortage, Sku, StockRow,
    StockTarget,
};
use batch::Batches;
use change::Change;
use database::{Database, DatabaseError, Failure};
use queue::Queues;
use repeat::{REPEAT_WITHIN, repeat, silent};
use sql::SqlDatabase;

pub use change::Moved;
pub use queue::Place;

/// How long a call waits for a connection, a new one included.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// The most skus whose books are summed up at a time. It takes reading all deductions of the location, so it should be
/// many, but no more sums than a database keeps in memory: MariaDB has 16 MB for them, of which a sum takes half a
/// kilobyte.
const BOOKS_MAX: u64 = 20_000;

/// How long that may take: some five hundred million deductions. Nothing waits for it but Reconcile.
const BOOKS_WITHIN: Duration = Duration::from_secs(600);

/// What shall become of a reservation.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Deduct these lines, or end as `Rejected` if supply does not allow it.
    Confirm {
        /// What to deduct, never empty.
        lines: Lines,
        /// Fingerprint of the lines that were reserved.
        reserved: Fingerprint,
        /// Fingerprint of `lines`.
        confirmed: Fingerprint,
    },
    /// End as `Cancelled`.
    Cancel,
    /// End as `Rejected`: the stock of these lines could not be taken again.
    Reject {
        /// The lines whose rows shall be answered.
        lines: Lines,
    },
}

impl Intent {
    /// The lines whose rows are answered.
    fn lines(&self) -> Option<&Lines> {
        match self {
            Intent::Confirm { lines, .. } | Intent::Reject { lines } => Some(lines),
            Intent::Cancel => None,
        }
    }
}

/// The ledger's answer to an [`Intent`].
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The settlement that stands: that of the intent, or an earlier one which won.
    pub settlement: Settlement,
    /// The row of every line of the intent and of the settlement, as it stands after the commit; `None`: there is no
    /// such row.
    pub rows: Vec<(Sku, Option<StockRow>)>,
    /// Why this intent was the one that ended the reservation as `Rejected`; empty in every other case. `held` is 0:
    /// the ledger does not know holds.
    pub shortages: Vec<Shortage>,
}

/// One sku of the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    /// What is counted.
    pub sku: Sku,
    /// What the row says.
    pub on_hand: i64,
    /// Sum of its movements.
    pub moved: i64,
    /// Sum of its deductions.
    pub deducted: i64,
}

/// Why the ledger did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// The queue is full; nothing was begun.
    #[error("the queue of the ledger is full")]
    Overloaded,
    /// The database must not be used as it is, in one sentence that says why and what to do.
    #[error("{0}")]
    Unsuitable(String),
    /// The database could not be reached, or kept failing; what was asked may have been committed if it was a write.
    #[error("the database did not answer")]
    Unavailable(#[from] DatabaseError),
    /// The database holds something that this service never writes.
    #[error("the database holds what stockhold never writes: {0}")]
    Corrupt(String),
}

/// How to reach the database, and how much to ask of it.
#[derive(Clone)]
pub struct LedgerConfig {
    /// `mysql://user:password@host:port/database` or `sqlite://file?mode=rwc`.
    pub url: String,
    /// The most connections at a time, 6 or more: some are the group commit's alone.
    pub connections_max: u32,
    /// The most intents that are in one queue, from the place that is taken for them to their answer.
    pub queue_max: usize,
    /// The most intents that share a transaction.
    pub batch_max: usize,
}

/// The ledger. A clone is another handle to the same one.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    database: Arc<dyn Database>,
    queues: Queues,
    /// The connections that are left for all but batches. A batch must never wait behind them: it would take the
    /// database for away.
    others: Semaphore,
    /// Summing up the books takes long, so it may have one of those at a time.
    books: Semaphore,
}

impl Ledger {
    /// Connects, or says within seconds why not. It does not migrate.
    pub async fn connect(config: &LedgerConfig) -> Result<Self, LedgerError> {
        let database = SqlDatabase::open(&config.url, config.connections_max).await?;
        Ok(Self::over(Arc::new(database), config.queue_max, config.batch_max))
    }

    /// The ledger over a database; see [`LedgerConfig`] for the bounds.
    pub fn over(database: Arc<dyn Database>, queue_max: usize, batch_max: usize) -> Self {
        let capacity = database.capacity();
        let batches = Batches { database: Arc::clone(&database), absence: Arc::default() };
        let queues = Queues::start(capacity, queue_max, batch_max, &batches);
        let (others, books) = (Semaphore::new(capacity.others), Semaphore::new(1));
        Self(Arc::new(Inner { database, queues, others, books }))
    }

    /// Creates or changes the tables, and tells how many migrations that took. Several instances may do so at once.
    pub async fn migrate(&self) -> Result<usize, LedgerError> {
        self.0.database.migrate().await
    }

    /// One sentence for each setting of the database that weakens what callers are promised.
    pub async fn durability_warnings(&self) -> Result<Vec<String>, LedgerError> {
        self.0.database.durability_warnings().await
    }

    /// Takes a place in the queue, or says at once that there is none: nothing may be promised to a caller before.
    pub fn place(&self, location: &Location) -> Result<Place, LedgerError> {
        self.0.queues.place(location)
    }

    /// The rows of these skus, in the order asked for.
    pub async fn rows(&self, location: &Location, skus: &[Sku]) -> Result<Vec<(Sku, Option<StockRow>)>, LedgerError> {
        let rows = self.repeated(|database| database.rows(location, skus)).await?;
        Ok(skus.iter().map(|sku| (sku.clone(), rows.get(sku).copied())).collect())
    }

    /// As `rows`, but waits until no transaction has the rows locked. So a change whose outcome was not known has ended:
    /// the rows are with it, or it never happens.
    pub async fn rows_behind_locks(
        &self,
        location: &Location,
        skus: &[Sku],
    ) -> Result<Vec<(Sku, Option<StockRow>)>, LedgerError> {
        let rows = self.repeated(|database| supply::rows_behind_locks(database, location, skus)).await?;
        Ok(skus.iter().map(|sku| (sku.clone(), rows.get(sku).copied())).collect())
    }

    /// The settlements of these reservations, those that exist, with their deducted lines.
    pub async fn settlements(
        &self,
        location: &Location,
        ids: &[ReservationId],
    ) -> Result<Vec<Settlement>, LedgerError> {
        let settled = self.repeated(|database| database.settlements(location, ids)).await?;
        Ok(settled.into_values().collect())
    }

    /// Creates skus or states what was counted; all targets or none. Each sku at most once.
    pub async fn set_stock(
        &self,
        location: &Location,
        request_id: &RequestId,
        targets: &[StockTarget],
    ) -> Result<Result<(), Refusal>, LedgerError> {
        self.change(location, request_id, Change::Set(targets)).await
    }

    /// Adds or removes units; all adjustments or none, whatever the floor. Each sku at most once.
    pub async fn adjust_stock(
        &self,
        location: &Location,
        request_id: &RequestId,
        reason: &str,
        adjustments: &[Adjustment],
    ) -> Result<Result<(), Refusal>, LedgerError> {
        self.change(location, request_id, Change::Adjust { reason, adjustments }).await
    }

    /// Rows in byte order of the sku, after the given one.
    pub async fn list_rows(
        &self,
        location: &Location,
        after: Option<&Sku>,
        limit: u64,
    ) -> Result<Vec<(Sku, StockRow)>, LedgerError> {
        self.repeated(|database| database.list_rows(location, after, limit)).await
    }

    /// Rows in order of version and sku, after the given pair. Without a sku: after all rows of that version.
    pub async fn rows_changed(
        &self,
        location: &Location,
        after: (i64, Option<&Sku>),
        limit: u64,
    ) -> Result<Vec<(Sku, StockRow)>, LedgerError> {
        self.repeated(|database| database.rows_changed(location, after, limit)).await
    }

    /// Every location that has stock, in byte order.
    pub async fn locations(&self) -> Result<Vec<Location>, LedgerError> {
        self.repeated(|database| database.locations()).await
    }

    /// The books of the next skus in byte order, after the given one; none if there are no more. All that are answered
    /// are as of one instant.
    pub async fn books(&self, location: &Location, after: Option<&Sku>) -> Result<Vec<Book>, LedgerError> {
        // It is never closed.
        let _alone = self.0.books.acquire().await;
        let rows = self.list_rows(location, after, BOOKS_MAX).await?;
        let Some((last, _)) = rows.last() else { return Ok(Vec::new()) };
        let _connection = self.connection().await?;
        let books = timeout(BOOKS_WITHIN, self.0.database.books(location, after, last)).await;
        books.map_err(|_| silent(BOOKS_WITHIN))?
    }

    /// The database's clock, in microseconds since 1970.
    pub async fn now_micros(&self) -> Result<i64, LedgerError> {
        self.repeated(|database| database.now_micros()).await
    }

    /// Answers within seconds if the database is there.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        timeout(ACQUIRE_TIMEOUT, self.0.database.ping()).await.map_err(|_| silent(ACQUIRE_TIMEOUT))?
    }

    /// Refuses new places, waits until every place that was taken is used or given back and all is settled, then
    /// disconnects, or says within seconds that some connection does not end.
    pub async fn close(&self) -> Result<(), LedgerError> {
        self.0.queues.close().await;
        timeout(ACQUIRE_TIMEOUT, self.0.database.close()).await.map_err(|_| silent(ACQUIRE_TIMEOUT))?
    }

    async fn change(
        &self,
        location: &Location,
        request_id: &RequestId,
        change: Change<'_>,
    ) -> Result<Result<(), Refusal>, LedgerError> {
        self.repeated(|database| supply::apply(database, location, request_id, change)).await
    }

    /// Runs what may be repeated.
    async fn repeated<'a, T, F>(&'a self, work: impl Fn(&'a dyn Database) -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let _connection = self.connection().await?;
        let done = repeat(Instant::now() + REPEAT_WITHIN, || work(&*self.0.database)).await;
        if done.is_ok() {
            self.0.queues.learn_present();
        }
        done
    }

    /// Waits for one of the connections that batches do not need, as long as the pool itself would.
    async fn connection(&self) -> Result<SemaphorePermit<'_>, DatabaseError> {
        let none = |why: &str| DatabaseError::new(Failure::NoConnection, why);
        let permit = timeout(ACQUIRE_TIMEOUT, self.0.others.acquire()).await;
        permit.map_err(|_| none("all connections are in use"))?.map_err(|_| none("the ledger is closed"))
    }
}
