//! What the ledger asks of a database: the seam below which SQL is known.
//!
//! `sql` keeps this contract over MySQL and SQLite; the simulation of `tests/it` keeps it in memory, so that what
//! stands above can be run against a database that fails wherever it can, in any order, again and again.
//! `tests/it/ledger_contract.rs` runs against all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::change::Moved;
use super::{Book, LedgerError};
use crate::domain::{Location, RequestId, ReservationId, Settlement, Sku, StockRow};

/// The tables. Whatever is read outside of a transaction was committed before.
#[async_trait]
pub trait Database: Send + Sync + 'static {
    /// Begins a transaction that will write, and answers what it must know to decide. All of it is asked at once: while
    /// a transaction has locks, each way to the database and back is time that others wait.
    ///
    /// It may fail as a [`Failure`] says; then nothing was begun.
    async fn begin(&self, location: &Location, ask: Ask<'_>) -> Result<(Facts, Box<dyn Transaction>), LedgerError>;

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

    /// The books of the skus after one and up to another, in byte order, all as of one instant.
    async fn books(&self, location: &Location, after: Option<&Sku>, last: &Sku) -> Result<Vec<Book>, LedgerError>;

    /// The database's clock, in microseconds since 1970.
    async fn now_micros(&self) -> Result<i64, LedgerError>;

    /// Answers if the database is there.
    async fn ping(&self) -> Result<(), LedgerError>;

    /// Creates or changes the tables, and tells how many migrations that took. Several instances may do so at once.
    async fn migrate(&self) -> Result<usize, LedgerError>;

    /// One sentence for each setting of the database that weakens what callers are promised.
    async fn durability_warnings(&self) -> Result<Vec<String>, LedgerError>;

    /// Disconnects.
    async fn close(&self) -> Result<(), LedgerError>;

    /// How much may be asked of it at a time.
    fn capacity(&self) -> Capacity;
}

/// What a transaction must know to decide.
#[derive(Clone, Debug, Default)]
pub struct Ask<'a> {
    /// The rows to lock: in byte order, as everybody does.
    pub skus: BTreeSet<&'a Sku>,
    /// The reservations of which it must be known whether they are settled already.
    pub reservations: BTreeSet<&'a ReservationId>,
    /// The change of supply that may have been made already.
    pub change: Option<&'a RequestId>,
}

/// What the database says to an [`Ask`]. The rows are locked first; all else is read behind the locks, as it is
/// committed then.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The database's clock, in microseconds since 1970. As it is read behind the locks, a version is never much older
    /// than its commit, on which the sync task's overlap rests.
    pub now_micros: i64,
    /// The rows, those that exist; nobody else changes them until the transaction ends.
    pub rows: BTreeMap<Sku, StockRow>,
    /// The settlements that were asked for, those that exist, with their deducted lines.
    pub settled: BTreeMap<ReservationId, Settlement>,
    /// The fingerprint of the change of supply, if it was made.
    pub change_made: Option<String>,
}

/// A transaction that was begun: one location's. Dropping it rolls it back, though not at once; so does the end of the
/// connection.
#[async_trait]
pub trait Transaction: Send {
    /// Writes all of this and makes it durable and visible, or nothing. After an error, which is one as a [`Failure`]
    /// says, it may be either.
    async fn commit(self: Box<Self>, writes: Writes<'_>) -> Result<(), LedgerError>;
}

/// What a transaction writes; nothing is fine too. What is inserted and exists already is a [`Failure::Duplicate`].
#[derive(Clone, Debug, Default)]
pub struct Writes<'a> {
    /// Inserted, with a deduction for each of their lines that has the version of its row in `changed_rows`. In order
    /// of their ids: two instances that settle the same ones must meet at the first of them, not crosswise.
    pub settlements: BTreeMap<&'a ReservationId, &'a Settlement>,
    /// Inserted.
    pub new_rows: BTreeMap<&'a Sku, &'a StockRow>,
    /// Known to exist, and locked.
    pub changed_rows: BTreeMap<&'a Sku, &'a StockRow>,
    /// Inserted, if it moved anything.
    pub change: Option<ChangeMade<'a>>,
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
    /// How many queues of intents there are, so that a location that stands still fills one of them only.
    pub queues: usize,
    /// How many batches of one queue may commit at the same time.
    pub batches_at_once: usize,
    /// How many other things may be done meanwhile.
    pub others: usize,
}

/// Why a database did not do what it was asked.
#[derive(Clone, Debug)]
pub struct DatabaseError {
    /// What kind of failure it is.
    pub failure: Failure,
    /// What the database or its driver says; this error says no more.
    pub cause: Arc<dyn Error + Send + Sync>,
}

impl DatabaseError {
    /// An error in words.
    pub fn new(failure: Failure, what: impl Into<String>) -> Self {
        Self { failure, cause: Box::<dyn Error + Send + Sync>::from(what.into()).into() }
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for DatabaseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

/// What kind of failure an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Others were in the way: deadlock, lock wait, busy.
    Collision,
    /// What was to be inserted exists already, be it a moment ago.
    Duplicate,
    /// The connection was lost, or the server is going away or not the one to write to; a new connection may do.
    Connection,
    /// There is no connection to be had; that was waited for already.
    NoConnection,
    /// No answer in time: the server may be away, or be asked too much.
    Silence,
    /// The statement itself failed.
    Statement,
}
