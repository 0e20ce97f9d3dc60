//! Cancel: first the units are free, then the cancel is settled, then the caller is answered. After the first step
//! recovery completes the cancel if this call does not. Where a confirm has begun, the ledger decides which of the two
//! came first, so the settlement comes before the units are free.

use fail::fail_point;

use super::holds::CancelBegun;
use super::{Error, Service};
use crate::domain::{Location, Refusal, Reservation, ReservationId, State};
use crate::ledger::{Intent, QueuePermit};

impl Service {
    /// Gives the stock back for good. An unknown id is remembered as cancelled.
    ///
    /// # Errors
    /// Refused: `Confirmed`, `UnknownLocation`. `Overloaded` also if the id is unknown and the location has as many
    /// tombstones as it may have. `OutcomeUnknown`: the caller repeats to be sure. Unless a confirm had begun, the
    /// units are free and recovery settles the cancel.
    pub async fn cancel(&self, location: &Location, id: ReservationId) -> Result<Reservation, Error> {
        let permit = self.ledger.queue_permit(location)?;
        let reservation = match self.holds.cancel(location, &id).await? {
            CancelBegun::Unsettled => {
                fail_point!("cancel-released", |_| std::process::abort());
                self.settle_cancel(permit, location, id).await?
            }
            CancelBegun::Ended(reservation) => reservation,
        };
        match reservation.state {
            State::Confirmed => Err(Refusal::Confirmed(reservation.id).into()),
            _ => Ok(reservation),
        }
    }

    /// Settles a reservation as cancelled unless it is settled already. Writes the settlement that stands to the holds'
    /// store, and answers it.
    pub(super) async fn settle_cancel(
        &self,
        permit: QueuePermit,
        location: &Location,
        id: ReservationId,
    ) -> Result<Reservation, Error> {
        let verdict = permit.settle(location.clone(), id, Intent::Cancel).await;
        let verdict = verdict.map_err(|error| Error::from(error).once_begun())?;
        fail_point!("cancel-committed", |_| std::process::abort());
        // Without its tombstone a Reserve that arrives late would hold stock, so a caller must repeat if this fails.
        self.holds.settle(location, verdict.settlement, verdict.rows).await.map_err(Error::once_begun)
    }
}
