//! Reserve: one command, nothing written to the ledger.

use std::time::Duration;

use super::final_word::ended;
use super::{Error, Service, refused};
use crate::domain::{Lines, Location, Refusal, Reservation, ReservationId, State};
use crate::holds::{Command, Reply};

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
        let command = Command::Reserve { id: id.clone(), lines, ttl_ms: ttl.as_millis() as u64 };
        let reservation = match self.apply_filling(location, command).await? {
            Reply::Accepted(reservation) | Reply::Ended(reservation) => self.known(location, reservation).await?,
            Reply::IdReused => return Err(Refusal::ReservationIdReused(id).into()),
            reply => return Err(refused(reply)),
        };
        if reservation.reserved.is_some_and(|reserved| reserved != fingerprint) {
            return Err(Refusal::ReservationIdReused(id).into());
        }
        match ended(&reservation) {
            Some(refusal) if reservation.state != State::Confirmed => Err(refusal.into()),
            _ => Ok(reservation),
        }
    }
}
