//! Extend: one script. The deadline is absolute and never moves earlier, so repeats and reordered requests are harmless.

use super::final_word::ended;
use super::{Error, LatePolicy, Service, refused};
use crate::domain::{Location, Refusal, Reservation, ReservationId};
use crate::holds::{Command, Reply};

impl Service {
    /// Moves the deadline of a reservation to `expire_ms` (Unix milliseconds) if that is later.
    ///
    /// # Errors
    /// Refused: `InvalidFields` (beyond the longest lifetime), `ReservationNotFound`, or how the reservation ended; with `Reacquire` also
    /// `InsufficientStock`, `UnknownSkus` and `RetiredSkus`, none of them final.
    pub async fn extend(
        &self,
        location: &Location,
        id: ReservationId,
        expire_ms: u64,
        late: LatePolicy,
    ) -> Result<Reservation, Error> {
        let lifetime = self.limits.lifetime_max;
        let command = Command::Extend {
            id: id.clone(),
            expire_ms,
            lifetime_ms: lifetime.as_millis() as u64,
            reacquire: late == LatePolicy::Reacquire,
        };
        let reservation = match self.apply_filling(location, command).await? {
            Reply::Accepted(reservation) | Reply::Ended(reservation) => self.known(location, reservation).await?,
            Reply::NotFound => match self.final_word(location, &id).await? {
                Some(word) => word,
                None => return Err(Refusal::ReservationNotFound(id).into()),
            },
            Reply::BeyondLifetime(latest_ms) => {
                let latest = humantime::format_rfc3339_millis(
                    std::time::UNIX_EPOCH + std::time::Duration::from_millis(latest_ms),
                );
                let lifetime = humantime::format_duration(lifetime);
                let description =
                    format!("must be at most {latest}: a reservation lasts at most {lifetime} from its creation");
                return Err(Refusal::invalid("expire_time", description).into());
            }
            reply => return Err(refused(reply)),
        };
        match ended(&reservation) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(reservation),
        }
    }
}
