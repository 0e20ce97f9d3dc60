//! A reservation and its states.

use super::{Fingerprint, Lines, ReservationId};

/// What became of a reservation so far. The transitions are those of `holds::embedded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Units are held until the expire time.
    Held,
    /// A confirm was accepted and is not yet known to be durable; units are held, the deadline no longer counts.
    Confirming,
    /// Final: deducted.
    Confirmed,
    /// Final: given back.
    Cancelled,
    /// The expire time passed, units were given back; may be revived or cancelled.
    Expired,
    /// Final: a confirm found the stock gone.
    Rejected,
}

impl State {
    /// Live reservations count in `held`.
    pub fn is_live(self) -> bool {
        matches!(self, State::Held | State::Confirming)
    }
}

/// A reservation as the holds' store knows it; or as the ledger does, if the holds' store has forgotten it. Times are
/// Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The caller's id.
    pub id: ReservationId,
    /// What became of it.
    pub state: State,
    /// What is held; from `Confirming` on what is confirmed; empty if that is unknown.
    pub lines: Lines,
    /// Fingerprint of the lines that were reserved; none for an id that was cancelled before it was reserved.
    pub reserved: Option<Fingerprint>,
    /// Fingerprint of the lines to confirm, from `Confirming` on.
    pub confirmed: Option<Fingerprint>,
    /// When it was reserved.
    pub create_ms: Option<u64>,
    /// When a `Held` one ends: at this instant it no longer counts.
    pub expire_ms: Option<u64>,
    /// When it ended.
    pub end_ms: Option<u64>,
}
