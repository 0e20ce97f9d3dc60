//! The ledger's final word on a reservation.

use super::{Fingerprint, Lines, Reservation, ReservationId, State};

/// How a reservation ended for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Deducted.
    Confirmed,
    /// Given back, or abandoned before it was reserved.
    Cancelled,
    /// The stock was gone when it was to be confirmed.
    Rejected,
}

impl From<Outcome> for State {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Confirmed => State::Confirmed,
            Outcome::Cancelled => State::Cancelled,
            Outcome::Rejected => State::Rejected,
        }
    }
}

/// What the ledger keeps of a settled reservation. The first writer wins; it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The reservation.
    pub id: ReservationId,
    /// How it ended.
    pub outcome: Outcome,
    /// Fingerprint of the reserved lines; only for `Confirmed`.
    pub reserved: Option<Fingerprint>,
    /// Fingerprint of the confirmed lines; only for `Confirmed`.
    pub confirmed: Option<Fingerprint>,
    /// The deducted lines; empty unless `Confirmed`.
    pub lines: Lines,
    /// When, by the database's clock, in Unix milliseconds.
    pub time_ms: u64,
}

impl Settlement {
    /// The reservation as far as the ledger alone knows it.
    pub fn into_reservation(self) -> Reservation {
        Reservation {
            id: self.id,
            state: self.outcome.into(),
            lines: self.lines,
            reserved: self.reserved,
            confirmed: self.confirmed,
            create_ms: None,
            expire_ms: None,
            end_ms: Some(self.time_ms),
        }
    }
}
