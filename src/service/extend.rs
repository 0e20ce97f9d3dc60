//! Extend: one command. The deadline is absolute and never moves earlier, so repeats and reordered requests are
//! harmless.

use std::time::{Duration, UNIX_EPOCH};

use super::holds::Extended;
use super::settle::ended;
use super::{Error, LatePolicy, Service};
use crate::domain::{Location, Refusal, Reservation, ReservationId, State};

impl Service {
    /// Moves the deadline of a reservation to `expire_ms` (Unix milliseconds) if that is later.
    ///
    /// # Errors
    /// Refused: `InvalidFields` (beyond the longest lifetime), `ReservationNotFound`, or how the reservation ended;
    /// with `Reacquire` also `InsufficientStock`, `UnknownSkus` and `RetiredSkus`, none of them final.
    pub async fn extend(
        &self,
        location: &Location,
        id: ReservationId,
        expire_ms: u64,
        late: LatePolicy,
    ) -> Result<Reservation, Error> {
        let reservation = self.extend_or_revive(location, &id, expire_ms, false).await?;
        // The ledger may have settled the reservation when the holds' store could not be told. Such a reservation must
        // not come back to life, so the ledger is asked first.
        let reservation = match late {
            LatePolicy::Reacquire if reservation.state == State::Expired => {
                self.extend_or_revive(location, &id, expire_ms, true).await?
            }
            _ => reservation,
        };
        match ended(&reservation) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(reservation),
        }
    }

    /// The reservation after one try to extend it, checked with the ledger; it has ended if it was not extended.
    async fn extend_or_revive(
        &self,
        location: &Location,
        id: &ReservationId,
        expire_ms: u64,
        reacquire: bool,
    ) -> Result<Reservation, Error> {
        let lifetime = self.limits.lifetime_max;
        let lifetime_ms = lifetime.as_millis() as u64;
        match self.holds.extend(location, id, expire_ms, lifetime_ms, reacquire).await? {
            Extended::Known(reservation) => self.checked_with_ledger(location, reservation).await,
            Extended::NotFound => {
                let settled = self.read_settlement(location, id).await?;
                settled.ok_or_else(|| Refusal::ReservationNotFound(id.clone()).into())
            }
            Extended::BeyondLifetime(latest_ms) => {
                let latest = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(latest_ms));
                let lifetime = humantime::format_duration(lifetime);
                let description =
                    format!("must be at most {latest}: a reservation lasts at most {lifetime} from its creation");
                Err(Refusal::invalid("expire_time", description).into())
            }
        }
    }
}
