//! Settlements: read from the ledger before a caller is told how a reservation ended, and written to the holds' store,
//! which drops the hold.

use std::sync::Arc;

use fail::fail_point;
use futures::FutureExt;
use tracing::Instrument;

use super::{Error, Service};
use crate::domain::{Location, Refusal, Reservation, ReservationId, Settlement, State};
use crate::holds::Rows;
use crate::telemetry::chain;

impl Service {
    /// Settles a hold without keeping the caller waiting. Until it is settled, the hold still counts. The command is
    /// queued before this returns, so that commands which this instance queues later come after it.
    pub(super) fn settle_hold_soon(self: &Arc<Self>, location: &Location, settlement: Settlement, rows: Rows) {
        let (service, location) = (Arc::clone(self), location.clone());
        let mut settling = Box::pin(async move {
            let id = settlement.id.clone();
            match service.holds.settle(&location, settlement, rows).await {
                Ok(_) => fail_point!("confirm-settled", |_| std::process::abort()),
                Err(error) => tracing::warn!(
                    location = location.as_str(),
                    reservation_id = id.as_str(),
                    error = chain(&error),
                    "the ledger has settled a reservation, but the holds' store was not told; recovery does it"
                ),
            }
        });
        if settling.as_mut().now_or_never().is_none() {
            self.running.spawn(settling.in_current_span());
        }
    }

    /// How the ledger has settled a reservation, if it has. Writes the settlement to the holds' store, which does not
    /// have it.
    pub(super) async fn read_settlement(
        &self,
        location: &Location,
        id: &ReservationId,
    ) -> Result<Option<Reservation>, Error> {
        let Some(settlement) = self.ledger.settlements(location, std::slice::from_ref(id)).await?.pop() else {
            return Ok(None);
        };
        Ok(Some(match self.settle_from_ledger(location, settlement.clone()).await {
            Ok(reservation) => reservation,
            Err(error) => {
                tracing::warn!(
                    location = location.as_str(),
                    reservation_id = id.as_str(),
                    error = chain(&error),
                    "the holds' store was not told of a settlement; the next call about this reservation does it"
                );
                settlement.into_reservation()
            }
        }))
    }

    /// Writes a settlement that was read from the ledger to the holds' store.
    pub(super) async fn settle_from_ledger(
        &self,
        location: &Location,
        settlement: Settlement,
    ) -> Result<Reservation, Error> {
        let skus: Vec<_> = settlement.lines.skus().cloned().collect();
        let rows = self.ledger.rows(location, &skus).await?;
        self.holds.settle(location, settlement, rows).await
    }

    /// The reservation after the ledger was asked, where it must be. What a caller is told of an end must stay true,
    /// and the holds' store may forget an end that it has not from the ledger. States that it has from the ledger, and
    /// `Held`, need no question.
    pub(super) async fn checked_with_ledger(
        &self,
        location: &Location,
        reservation: Reservation,
    ) -> Result<Reservation, Error> {
        match reservation.state {
            State::Held | State::Confirmed | State::Rejected => Ok(reservation),
            // The rest is rare. Boxed, it does not enlarge the future of every call.
            State::Expired => {
                Ok(Box::pin(self.read_settlement(location, &reservation.id)).await?.unwrap_or(reservation))
            }
            // A cancel without a settlement could be forgotten, so it is settled before the caller is told.
            State::Cancelled => match Box::pin(self.read_settlement(location, &reservation.id)).await? {
                Some(settled) => Ok(settled),
                None => {
                    Box::pin(self.settle_cancel(self.ledger.queue_permit(location)?, location, reservation.id)).await
                }
            },
            // `Confirming` means "not known to be durable", which is also true while the ledger does not answer.
            State::Confirming => match Box::pin(self.read_settlement(location, &reservation.id)).await {
                Ok(Some(settled)) => Ok(settled),
                Ok(None) | Err(_) => Ok(reservation),
            },
        }
    }
}

/// The refusal of a call that needs a live reservation and finds this one; `None` if it is live.
pub(super) fn ended(reservation: &Reservation) -> Option<Refusal> {
    let id = reservation.id.clone();
    match reservation.state {
        State::Held | State::Confirming => None,
        State::Confirmed => Some(Refusal::Confirmed(id)),
        State::Cancelled => Some(Refusal::Cancelled(id)),
        State::Expired => Some(Refusal::Expired(id)),
        State::Rejected => Some(Refusal::Rejected(id, Vec::new())),
    }
}
