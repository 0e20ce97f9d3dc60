//! What the store has of one location.

use std::collections::{HashMap, VecDeque};

use super::scored::Scored;
use crate::domain::{Reservation, ReservationId, Sku, StockRow};
use crate::holds::Held;

/// The holds of one location. All is open to read: it is what invariants speak of, and what Redis is compared with.
#[derive(Clone, Debug, Default)]
pub struct LocationHolds {
    /// The copies of ledger rows.
    pub registers: HashMap<Sku, StockRow>,
    /// The counters of what is held.
    pub held: HashMap<Sku, Held>,
    /// Live reservations, and ended ones until they are forgotten.
    pub records: HashMap<ReservationId, Reservation>,
    /// The held ones, by deadline.
    pub deadlines: Scored,
    /// Those whose settlement may not be in the ledger, by when they were last touched.
    pub unsettled: Scored,
    /// Those that ended and need no settlement (any more), in the order in which they did: what ended in one call, and
    /// when. They are forgotten in this order.
    pub ended: VecDeque<(u64, Vec<ReservationId>)>,
    /// How many records are tombstones: cancelled, and never held.
    pub tombstones: usize,
    /// How far the sync task has pushed.
    pub synced: Option<i64>,
}

impl LocationHolds {
    /// True if there is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        let Self { registers, held, records, deadlines: _, unsettled: _, ended, tombstones: _, synced } = self;
        registers.is_empty() && held.is_empty() && records.is_empty() && ended.is_empty() && synced.is_none()
    }
}
