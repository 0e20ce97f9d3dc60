//! What the ledger asks of a database: the seam below which SQL is known.
//!
//! `sql` keeps this contract over MySQL and SQLite; the simulation of `tests/it` keeps it in memory, so that what stands above can be run against a database that
//! fails wherever it can, in any order, again and again. `tests/it/ledger_contract.rs` runs against all of them.

use std::collections::BTreeMap;
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
    /// Begins a transaction that will write.
    async fn begin(&self) -> Result<Box<dyn Transaction>, LedgerError>;

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

    /// The books of these skus, those that exist, all as of one instant.
    async fn books(&self, location: &Location, skus: &[Sku]) -> Result<Vec<Book>, LedgerError>;

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

/// A transaction that was begun. Dropping it rolls it back; so does the end of the connection. It reads what was committed (READ COMMITTED) and what it wrote.
///
/// Every method may fail as a [`Failure`] says. After a failure nothing but dropping it is allowed.
#[async_trait]
pub trait Transaction: Send {
    /// The rows of these skus, those that exist; nobody else changes them until the transaction ends. They are locked in byte order, as everybody does.
    async fn lock_rows(&mut self, location: &Location, skus: &[Sku]) -> Result<BTreeMap<Sku, StockRow>, LedgerError>;

    /// As [`Database::rows`].
    async fn rows(&mut self, location: &Location, skus: &[Sku]) -> Result<BTreeMap<Sku, StockRow>, LedgerError>;

    /// As [`Database::settlements`].
    async fn settlements(
        &mut self,
        location: &Location,
        ids: &[ReservationId],
    ) -> Result<BTreeMap<ReservationId, Settlement>, LedgerError>;

    /// The fingerprint of the change of supply that was made under this id, if there was one.
    async fn change_made(&mut self, location: &Location, request_id: &RequestId)
    -> Result<Option<String>, LedgerError>;

    /// As [`Database::now_micros`].
    async fn now_micros(&mut self) -> Result<i64, LedgerError>;

    /// Inserts settlements, and a deduction for each of their lines with the version that its row has in `rows`. One that exists already is a
    /// [`Failure::Collision`].
    async fn insert_settlements(
        &mut self,
        location: &Location,
        settlements: &[&Settlement],
        rows: &BTreeMap<Sku, StockRow>,
    ) -> Result<(), LedgerError>;

    /// Inserts rows. One that exists already is a [`Failure::Collision`].
    async fn insert_rows(&mut self, location: &Location, rows: &[(&Sku, &StockRow)]) -> Result<(), LedgerError>;

    /// Writes rows that are known to exist and locked.
    async fn update_rows(&mut self, location: &Location, rows: &[(&Sku, &StockRow)]) -> Result<(), LedgerError>;

    /// Inserts what explains a change of supply. One under the same id that exists already is a [`Failure::Collision`].
    async fn insert_movements(
        &mut self,
        location: &Location,
        request_id: &RequestId,
        fingerprint: &str,
        reason: &str,
        moved: &[Moved],
    ) -> Result<(), LedgerError>;

    /// Makes it durable and visible, all of it or nothing. After an error it may be either.
    async fn commit(self: Box<Self>) -> Result<(), LedgerError>;
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
    /// Others were in the way: deadlock, lock wait, duplicate key, busy.
    Collision,
    /// The connection was lost, or the server is going away or not the one to write to; a new connection may do.
    Connection,
    /// There is no connection to be had; that was waited for already.
    NoConnection,
    /// No answer in time: the server may be away, or be asked too much.
    Silence,
    /// The statement itself failed.
    Statement,
}
