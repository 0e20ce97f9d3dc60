//! What the ledger asks of a database: the seam below which SQL is known.
//!
//! `sql` keeps this contract over MySQL and SQLite. The simulation of `tests/it` keeps it in memory, so the code above
//! the seam can be run against a database that fails at any point and in any order. `tests/it/ledger_contract.rs` runs
//! against all of them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::{Location, RequestId, ReservationId, Settlement, Sku, StockRow};

/// The tables. What is read outside of a transaction was committed before.
#[async_trait]
pub trait Database: Send + Sync + 'static {
    /// Begins a transaction that will write, and answers what it must know to decide. All of it is read at once,
    /// because others wait for each round trip that a transaction makes while it has locks.
    ///
    /// After an error nothing was begun.
    async fn begin(&self, location: &Location, reads: Reads<'_>) -> Result<(Facts, Box<dyn Transaction>), LedgerError>;

    /// The rows of these skus, those that exist.
    async fn rows(&self, location: &Location, skus: &[Sku]) -> Result<BTreeMap<Sku, StockRow>, LedgerError>;

    /// The settlements of these reservations, those that exist, with their deducted lines.
    async fn settlements(
        &self,
        location: &Location,
        ids: &[ReservationId],
    ) -> Result<BTreeMap<ReservationId, Settlement>, LedgerError>;

    /// Rows in byte order of the sku, after the given one.
    async fn list_rows(
        &self,
        location: &Location,
        after: Option<&Sku>,
        limit: u64,
    ) -> Result<Vec<(Sku, StockRow)>, LedgerError>;

    /// Rows in order of version and sku, after the given pair. Without a sku: after all rows of that version.
    async fn rows_changed(
        &self,
        location: &Location,
        after: (i64, Option<&Sku>),
        limit: u64,
    ) -> Result<Vec<(Sku, StockRow)>, LedgerError>;

    /// Every location that has stock, in byte order.
    async fn locations(&self) -> Result<Vec<Location>, LedgerError>;

    /// The books of the skus after one and up to another, in byte order, all as of one instant. One instance at a time
    /// reads them over the same database; others wait.
    async fn books(&self, location: &Location, after: Option<&Sku>, last: &Sku) -> Result<Vec<Book>, LedgerError>;

    /// The database's clock, in microseconds since 1970.
    async fn now_micros(&self) -> Result<i64, LedgerError>;

    /// Answers if the database is there and takes writes. Where the last transaction did not commit because the
    /// database takes no writes, or was not answered, this is found out by a write.
    async fn ping(&self) -> Result<(), LedgerError>;

    /// Creates or changes the tables, and tells how many migrations that took. Several instances may do so at once.
    async fn migrate(&self) -> Result<usize, LedgerError>;

    /// What the database is: product and version.
    async fn about(&self) -> Result<String, LedgerError>;

    /// One sentence for each setting of the database that weakens what callers are promised.
    async fn durability_warnings(&self) -> Result<Vec<String>, LedgerError>;

    /// Disconnects.
    async fn close(&self) -> Result<(), LedgerError>;

    /// How much may be asked of it at a time.
    fn capacity(&self) -> Capacity;
}

/// What a transaction must know to decide.
#[derive(Clone, Debug, Default)]
pub struct Reads<'a> {
    /// The rows to lock, in byte order. All transactions lock in this order, so they do not deadlock.
    pub skus: BTreeSet<&'a Sku>,
    /// The reservations that may be settled already.
    pub reservations: BTreeSet<&'a ReservationId>,
    /// The change of supply that may have been made already.
    pub change: Option<&'a RequestId>,
}

/// The answer to [`Reads`]. The rows are locked first. All else is read behind the locks, as it is committed then.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The database's clock, in microseconds since 1970. It is read behind the locks, so a version is never much older
    /// than its commit. The overlap of the sync task relies on that.
    pub now_micros: i64,
    /// The rows, those that exist. They are locked until the transaction ends.
    pub rows: BTreeMap<Sku, StockRow>,
    /// The settlements that were asked for, those that exist, with their deducted lines.
    pub settled: BTreeMap<ReservationId, Settlement>,
    /// The fingerprint of the change of supply, if it was made.
    pub change_made: Option<String>,
}

/// A transaction of one location that was begun. Dropping it rolls it back, though not at once; so does the end of the
/// connection.
#[async_trait]
pub trait Transaction: Send {
    /// Writes all of this and makes it durable and visible, or nothing. After an error it may be either.
    async fn commit(self: Box<Self>, writes: Writes<'_>) -> Result<(), LedgerError>;
}

/// What a transaction writes; it may be nothing. To insert what exists already fails as `Failure::Duplicate`.
#[derive(Clone, Debug, Default)]
pub struct Writes<'a> {
    /// Inserted in order of their ids, so that two instances which settle the same ones collide at the first of them
    /// and do not deadlock. Each line becomes a deduction that has the version of its row in `changed_rows`.
    pub settlements: BTreeMap<&'a ReservationId, &'a Settlement>,
    /// Inserted.
    pub new_rows: BTreeMap<&'a Sku, &'a StockRow>,
    /// Known to exist, and locked.
    pub changed_rows: BTreeMap<&'a Sku, &'a StockRow>,
    /// Inserted, if it moved anything.
    pub change: Option<ChangeMade<'a>>,
}

/// One item of a change of supply that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// What is counted.
    pub sku: Sku,
    /// Units added or, if negative, removed.
    pub delta: i64,
    /// The row after the change.
    pub row: StockRow,
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

/// What explains a change of supply.
#[derive(Clone, Copy, Debug)]
pub struct ChangeMade<'a> {
    /// Its id.
    pub request_id: &'a RequestId,
    /// Tells whether another request under the same id asks for the same.
    pub fingerprint: &'a str,
    /// Why, in the caller's words.
    pub reason: &'a str,
    /// What it moved.
    pub moved: &'a [Moved],
}

/// How much may be asked of a database at a time.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// How many queues of intents there are. A location that stands still fills only one of them.
    pub queues: usize,
    /// How many batches of one queue may commit at the same time.
    pub batches_at_once: usize,
    /// How many other calls may run at the same time.
    pub others: usize,
}
