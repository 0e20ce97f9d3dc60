//! Cancel: what is held is free at once, and from then on recovery completes the cancel if this call does not; then the
//! settlement; then the answer. Where a confirm has begun the ledger decides which of the two came first, so the
//! settlement comes first.

use fail::fail_point;

use super::{Error, Service, unexpected};
use crate::domain::{Location, Refusal, Reservation, ReservationId, State};
use crate::holds::{Command, Reply};
use crate::ledger::{Intent, Place};

impl Service {
    /// Gives the stock back for good. An id never seen is remembered as cancelled.
    ///
    /// # Errors
    /// Refused: `Confirmed`. `OutcomeUnknown`: repeat to be sure; what was not confirming is free, and its cancel will
    /// be settled.
    pub async fn cancel(&self, location: &Location, id: ReservationId) -> Result<Reservation, Error> {
        let place = self.ledger.place(location)?;
        let reservation = match self.apply(location, Command::Cancel { id: id.clone() }).await? {
            Reply::Accepted(_) => {
                fail_point!("cancel-released", |_| std::process::abort());
                self.settle_cancel(place, location, id).await?
            }
            Reply::Ended(reservation) => reservation,
            reply => return Err(unexpected(&reply)),
        };
        match reservation.state {
            State::Confirmed => Err(Refusal::Confirmed(reservation.id).into()),
            _ => Ok(reservation),
        }
    }

    /// Settles a reservation as cancelled, unless it is settled already, tells the holds' store what stands, and
    /// answers it.
    pub(super) async fn settle_cancel(
        &self,
        place: Place,
        location: &Location,
        id: ReservationId,
    ) -> Result<Reservation, Error> {
        let verdict = place.settle(location.clone(), id, Intent::Cancel).await;
        let verdict = verdict.map_err(|error| Error::from(error).once_begun())?;
        fail_point!("cancel-committed", |_| std::process::abort());
        // Without its tombstone a Reserve that arrives late would hold stock, so a caller must repeat if this fails.
        self.settle(location, verdict.settlement, verdict.rows).await.map_err(Error::once_begun)
    }
}
