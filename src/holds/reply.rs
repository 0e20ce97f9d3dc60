//! What a store of holds answers.

use crate::domain::{Reservation, ReservationId, Shortage, Sku, StockItem, StockRow};

/// The answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done, or done before: the reservation as it now stands.
    Accepted(Reservation),
    /// The id was reserved with other lines.
    IdReused,
    /// It ended before; how.
    Ended(Reservation),
    /// The store knows nothing of this id.
    NotFound,
    /// The lines to confirm are not those confirmed before, or not held.
    Mismatch,
    /// The deadline would be later than this, in Unix milliseconds.
    BeyondLifetime(u64),
    /// Too little is free, and no overdue hold stands in the way.
    Short(Vec<Shortage>),
    /// These skus refuse new holds.
    Retired(Vec<Sku>),
    /// Registers (or for `Settle`, rows) of these skus are needed first.
    Missing(Vec<Sku>),
    /// The store has no register of this location: whether it exists, the ledger must say. Once one is pushed, repeat.
    UnknownLocation,
    /// The location has as many tombstones as it may have.
    TombstonesFull,
    /// Overdue holds were reclaimed and more remain: repeat.
    More,
    /// The store has what stockhold never writes, in words, where the command looked: nothing was changed.
    Corrupt(String),
    /// How many registers or counters were changed.
    Pushed(usize),
    /// One item a sku, in the order asked for.
    Stock(Vec<StockItem>),
    /// One pair a sku, in the order asked for.
    Counters(Vec<(Option<StockRow>, Held)>),
    /// Some skus, and the cursor of the next page; empty at the end.
    Skus(Vec<Sku>, String),
    /// Reservations that an index lacked, and the cursor of the next page; empty at the end.
    Unindexed(Vec<ReservationId>, String),
    /// Some live reservations.
    Page(Page),
    /// What was reclaimed.
    Swept {
        /// How many holds.
        holds: usize,
        /// Whether there is more to reclaim or to forget.
        more: bool,
    },
    /// Confirming reservations, and cancelled ones whose settlement may be missing.
    Claimed(Vec<Reservation>),
    /// How far the sync task has pushed.
    Synced(Option<i64>),
}

/// A `held` counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Units in live holds.
    pub units: i64,
    /// Grows with every change, so that a repair can tell whether the sum it took is still true.
    pub changes: i64,
}

/// Some live reservations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Live ones, in order.
    pub reservations: Vec<Reservation>,
    /// Where to go on; none at the end.
    pub next: Option<Position>,
    /// The store's clock.
    pub now_ms: u64,
}

/// A place in the order of [`Command::List`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which index.
    pub index: Index,
    /// The score of the last entry seen.
    pub score_ms: u64,
    /// The last entry seen.
    pub id: ReservationId,
}

/// An index of live reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Index {
    /// Held ones, by deadline.
    Deadlines,
    /// Confirming ones (and cancelled ones without a settlement, which `List` leaves out), by when they were last
    /// touched.
    Unsettled,
}
