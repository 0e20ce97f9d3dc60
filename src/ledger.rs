//! The ledger: supply and settled reservations, durable, in MySQL (MySQL 8, MariaDB) or SQLite.
//!
//! Promises:
//! - The first settlement of a reservation wins and never changes. A `Confirmed` one is committed together with its
//!   deductions and the lowered `on_hand`, once, and never takes `on_hand` below `floor`.
//! - Callers are answered after the commit, with the rows as they stand at the end of the batch that was committed.
//! - Every change of a stock row gives it a larger version, at least the database's time in microseconds, also if that
//!   has gone back a little (`clock`).
//! - The books balance: `on_hand = sum(movements.delta) - sum(deductions.quantity)`.
//!
//! An error of `QueuePermit::settle`, `set_stock` or `adjust_stock` may hide a commit. Repeating the call under the
//! same id gives the true answer. The ledger does not know holds.
//!
//! Modules, from the bottom up: `error`, `intent`, `clock`, `circuit_breaker` and `database` are what all others use;
//! `decide` and `change` decide; `commit` and `supply` are the two transactions; `request`, `batch` and `queue` are the
//! group commit; `sql` is the database.

mod batch;
mod batch_permits;
mod change;
mod circuit_breaker;
mod clock;
mod commit;
pub mod database;
mod decide;
mod error;
mod intent;
mod queue;
mod repeat;
mod request;
mod sql;
mod supply;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::domain::{Adjustment, Location, Refusal, RequestId, ReservationId, Settlement, Sku, StockRow, StockTarget};
use batch::Batches;
use change::Change;
use circuit_breaker::CircuitBreaker;
use clock::Clock;
use database::{Book, Database};
use queue::Queues;
use repeat::{ACQUIRE_TIMEOUT, REPEAT_WITHIN, repeat, within};
use sql::SqlDatabase;

pub use error::{DatabaseError, Failure, LedgerError};
pub use intent::{Intent, Verdict};
pub use queue::QueuePermit;
pub use sql::Claim;

/// The most skus whose books are summed up at a time. Each page reads all deductions of the location, so a page should
/// be large. It has no more sums than a database keeps in memory: MariaDB has 16 MB for them, and a sum takes half a
/// kilobyte.
const BOOKS_MAX: u64 = 20_000;

/// How long one page of the books may take, and waiting until another instance has read its page: enough for some five
/// hundred million deductions. Only Reconcile waits for it.
const BOOKS_WITHIN: Duration = Duration::from_secs(600);

/// How to reach the database, and how much to ask of it.
#[derive(Clone)]
pub struct LedgerConfig {
    /// `mysql://user:password@host:port/database` or `sqlite://file?mode=rwc`.
    pub url: String,
    /// The most connections at a time, 6 or more: some are the group commit's alone.
    pub connections_max: u32,
    /// The most intents that are in one queue, from their permit to their answer.
    pub queue_max: usize,
    /// The most intents that share a transaction.
    pub batch_max: usize,
}

/// The ledger. A clone is another handle to the same one.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    database: Arc<dyn Database>,
    breaker: Arc<CircuitBreaker>,
    clock: Arc<Clock>,
    queues: Queues,
    /// Permits for the connections that batches leave to other calls. A batch that had to wait for one of those calls
    /// would time out and take the database for away.
    connections: Semaphore,
    /// Permits one page of the books at a time, because it takes long.
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
        let (breaker, clock) = (Arc::<CircuitBreaker>::default(), Arc::<Clock>::default());
        let batches =
            Batches { database: Arc::clone(&database), breaker: Arc::clone(&breaker), clock: Arc::clone(&clock) };
        let queues = Queues::start(capacity, queue_max, batch_max, &batches);
        let (connections, books) = (Semaphore::new(capacity.others), Semaphore::new(1));
        Self(Arc::new(Inner { database, breaker, clock, queues, connections, books }))
    }

    /// Claims a SQLite file for this process until the claim is dropped or the process ends. It fails if another
    /// process has the claim. Other databases are shared, and have none.
    pub fn claim(config: &LedgerConfig) -> Result<Option<Claim>, LedgerError> {
        Claim::of(&config.url)
    }

    /// Creates or changes the tables, and tells how many migrations that took. Several instances may do so at once. It
    /// fails if the database takes no writes, though on MySQL only if there was something to write.
    pub async fn migrate(&self) -> Result<usize, LedgerError> {
        self.0.database.migrate().await
    }

    /// What the database is: product and version.
    pub async fn about(&self) -> Result<String, LedgerError> {
        self.0.database.about().await
    }

    /// One sentence for each setting of the database that weakens what callers are promised.
    pub async fn durability_warnings(&self) -> Result<Vec<String>, LedgerError> {
        self.0.database.durability_warnings().await
    }

    /// Permits one request to be in the location's queue, or says at once that the queue is full. Callers are promised
    /// nothing before they have a permit.
    pub fn queue_permit(&self, location: &Location) -> Result<QueuePermit, LedgerError> {
        self.0.queues.permit(location)
    }

    /// The rows of these skus, in the order asked for.
    pub async fn rows(&self, location: &Location, skus: &[Sku]) -> Result<Vec<(Sku, Option<StockRow>)>, LedgerError> {
        let rows = self.repeated(|database| database.rows(location, skus)).await?;
        Ok(skus.iter().map(|sku| (sku.clone(), rows.get(sku).copied())).collect())
    }

    /// As `rows`, but waits until no transaction has the rows locked. So a change whose outcome was not known has
    /// ended: the rows are with it, or it never happens.
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

    /// The books of the next skus in byte order, after the given one; none if there are no more. All books of a page
    /// are as of one instant.
    pub async fn books(&self, location: &Location, after: Option<&Sku>) -> Result<Vec<Book>, LedgerError> {
        // The semaphore is never closed.
        let _alone = self.0.books.acquire().await;
        let rows = self.list_rows(location, after, BOOKS_MAX).await?;
        let Some((last, _)) = rows.last() else { return Ok(Vec::new()) };
        let _connection = self.connection().await?;
        within(BOOKS_WITHIN, self.0.database.books(location, after, last)).await
    }

    /// Another instance has seen the database's clock show this.
    pub fn see_micros(&self, micros: i64) {
        self.0.clock.see(micros);
    }

    /// The database's clock, in microseconds since 1970. It goes back only if it was wrong by more than minutes.
    pub async fn now_micros(&self) -> Result<i64, LedgerError> {
        let told_micros = self.repeated(|database| database.now_micros()).await?;
        Ok(self.0.clock.now_micros(told_micros))
    }

    /// Answers within seconds if the database is there and takes writes. After a commit that the database refused or
    /// did not answer, this is found out by a write.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        within(ACQUIRE_TIMEOUT, self.0.database.ping()).await
    }

    /// Refuses new permits, waits until every permit that was taken is used or dropped and all is settled, then
    /// disconnects, or says within seconds that some connection does not end.
    pub async fn close(&self) -> Result<(), LedgerError> {
        self.0.queues.close().await;
        within(ACQUIRE_TIMEOUT, self.0.database.close()).await
    }

    async fn change(
        &self,
        location: &Location,
        request_id: &RequestId,
        change: Change<'_>,
    ) -> Result<Result<(), Refusal>, LedgerError> {
        self.repeated(|database| supply::apply(database, &self.0.clock, location, request_id, change)).await
    }

    /// Runs what may be repeated.
    async fn repeated<'a, T, F>(&'a self, work: impl Fn(&'a dyn Database) -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let _connection = self.connection().await?;
        let done = repeat(Instant::now() + REPEAT_WITHIN, || work(&*self.0.database)).await;
        if done.is_ok() {
            self.0.breaker.answered();
        }
        done
    }

    /// Waits for a permit for a connection, as long as the pool itself would.
    async fn connection(&self) -> Result<SemaphorePermit<'_>, DatabaseError> {
        let none = |why: &str| DatabaseError::new(Failure::NoConnection, why);
        let permit = timeout(ACQUIRE_TIMEOUT, self.0.connections.acquire()).await;
        permit.map_err(|_| none("all connections are in use"))?.map_err(|_| none("the ledger is closed"))
    }
}
