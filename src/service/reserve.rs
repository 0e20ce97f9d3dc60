//! Reserve: one command, nothing written to the ledger.

use std::time::Duration;

use super::settle::ended;
use super::{Error, Service};
use crate::domain::{Lines, Location, Refusal, Reservation, ReservationId, State};

impl Service {
    /// Holds all lines or none for `ttl`, which is within the limits.
    ///
    /// # Errors
    /// Refused: `InsufficientStock`, `UnknownSkus`, `RetiredSkus`, `ReservationIdReused`, or how the
    /// reservation ended.
    pub async fn reserve(
        &self,
        location: &Location,
        id: ReservationId,
        lines: Lines,
        ttl: Duration,
    ) -> Result<Reservation, Error> {
        let fingerprint = lines.fingerprint();
        let reservation = self.holds.reserve(location, &id, lines, ttl.as_millis() as u64).await?;
        let reservation = self.checked_with_ledger(location, reservation).await?;
        if reservation.reserved.is_some_and(|reserved| reserved != fingerprint) {
            return Err(Refusal::ReservationIdReused(id).into());
        }
        match ended(&reservation) {
            Some(refusal) if reservation.state != State::Confirmed => Err(refusal.into()),
            _ => Ok(reservation),
        }
    }
}
