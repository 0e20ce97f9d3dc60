//! The holds' store: live reservations, what is held of each sku, and a copy of each stock row (its register).
//!
//! [`Holds`] is the contract. Two stores keep it: `embedded`, in this process, which is also the executable
//! specification, and `redis`, whose Lua library does the same. `batched` stands before whichever is used and lets its
//! callers share calls. `tests/it/holds_contract.rs` runs against all.
//!
//! Promises, for every command:
//! - It is atomic. It either refuses and changes nothing, or does all it says. Reclaiming overdue holds on the way is
//!   no change: they counted for nothing since their deadline. A call does so once: for `Stock`, for `Sweep`, and where
//!   they are in the way.
//! - A hold counts until `expire_ms`, exclusive, by the store's own clock.
//! - `held` of a sku is the sum of its lines in live reservations, changed together with them.
//! - A register is a last-writer-wins copy of a ledger row: only a newer version replaces it.
//! - Repeating a command under the same id changes nothing further.
//! - A location exists once it has a register. In one without, only `Push`, `Settle` and the sync mark leave anything.
//! - It does not know the ledger.

pub mod batched;
mod command;
pub mod embedded;
pub mod redis;
mod reply;

use std::time::Duration;

use async_trait::async_trait;

pub use self::command::{Command, Rows};
pub use self::reply::{Held, Index, Page, Position, Reply};
use crate::domain::Location;

/// Why the store did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HoldsError {
    /// Not executed, and it never will be.
    #[error("the holds' store could not be reached: {0}")]
    Unavailable(String),
    /// It may have been executed. Every command may be repeated.
    #[error("the holds' store did not answer in time: {0}")]
    OutcomeUnknown(String),
    /// Too many wait already; not executed, and it never will be.
    #[error("too many wait for the holds' store")]
    Overloaded,
    /// The store has no memory left for new holds; what frees stock still works.
    #[error("the holds' store is full")]
    Full,
    /// The store's own settings would break the promises; only at the start.
    #[error("{0}")]
    Unsuitable(String),
    /// The store holds or answered something that this service never writes.
    #[error("the holds' store answered what stockhold does not understand: {0}")]
    Corrupt(String),
}

impl HoldsError {
    /// Whether the store is away, so that it may answer later.
    pub fn is_away(&self) -> bool {
        matches!(self, HoldsError::Unavailable(_) | HoldsError::OutcomeUnknown(_))
    }
}

/// How much a store remembers.
#[derive(Clone, Copy, Debug)]
pub struct HoldsConfig {
    /// How long it remembers a reservation that has ended.
    pub retention: Duration,
    /// The most tombstones of a location: records of ids that were cancelled and never held.
    pub tombstones_max: usize,
}

/// Overdue holds reclaimed by one call: at most so many, ...
pub const RECLAIM_HOLDS_MAX: usize = 200;

/// ... and no further ones once so many lines were given back. Bounded by lines, because they are what costs time: some
/// 2 ms of Redis.
pub const RECLAIM_LINES_MAX: usize = 200;

/// Once a call has forgotten so many reservations, it begins with no further entry of them. An entry has what ended in
/// one call.
pub const FORGET_MAX: usize = 200;

/// The work of a call: once it has done so much, it begins no further command. Every command is one; every line that is
/// checked, held or given back is one, and so is every row that is pushed, every sku that is read and every entry of an
/// index that is looked at. Some 5 ms of Redis, where orders have a hundred lines.
pub const WORK_MAX: usize = 2000;

/// A page of [`Command::List`] ends with the reservation that brings the fingerprints and lines of all to so many
/// bytes: a message of some hundred reservations of a hundred lines.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;

/// About how many records a page of [`Command::Reindex`] looks at.
pub const RECORDS_PAGE: usize = 200;

/// About how many skus a page of [`Command::Skus`] has.
pub const SKUS_PAGE: usize = 500;

/// A store of holds. See the module for what every implementation promises.
#[async_trait]
pub trait Holds: Send + Sync + 'static {
    /// Applies the commands to one location, in order, each atomically by itself, and answers in the same order. It
    /// stops once it has done [`WORK_MAX`]: then it answers the first commands, at least one, and has not looked at the
    /// others. One that meets what is corrupt does not keep the others from being applied. After an error any number of
    /// them may have been applied, unless it is `Unavailable` or `Full`.
    async fn apply(&self, location: &Location, commands: &[Command]) -> Result<Vec<Reply>, HoldsError>;

    /// Answers if the store is there.
    async fn ping(&self) -> Result<(), HoldsError>;
}
