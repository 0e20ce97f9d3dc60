//! The ledger's final word: reading it before the end of a reservation is told, and telling it to the holds' store.

use std::sync::Arc;

use fail::fail_point;
use futures::FutureExt;
use tracing::Instrument;

use super::{Error, Service, unexpected};
use crate::domain::{Location, Refusal, Reservation, ReservationId, Settlement, State};
use crate::holds::{Command, Reply, Rows};

/// How often rows are added for a hold whose lines the settlement does not name. Once is enough unless the reservation
/// changes meanwhile.
const ROUNDS_MAX: usize = 5;

impl Service {
    /// Tells the holds' store the final word, with the rows it needs to drop the hold.
    pub(super) async fn settle(
        &self,
        location: &Location,
        settlement: Settlement,
        mut rows: Rows,
    ) -> Result<Reservation, Error> {
        for _ in 0..ROUNDS_MAX {
            let command = Command::Settle { settlement: settlement.clone(), rows: rows.clone() };
            match self.apply(location, command).await? {
                Reply::Accepted(reservation) => return Ok(reservation),
                Reply::Missing(skus) => rows.extend(self.ledger.rows(location, &skus).await?),
                reply => return Err(unexpected(&reply)),
            }
        }
        Err(Error::broken("the holds' store keeps asking for rows"))
    }

    /// Tells the holds' store the final word without keeping anybody waiting: until it is told, the hold still counts.
    /// It is asked for before this returns, so that it comes before whatever is asked for later.
    pub(super) fn settle_soon(self: &Arc<Self>, location: &Location, settlement: Settlement, rows: Rows) {
        let (service, location) = (Arc::clone(self), location.clone());
        let mut telling = Box::pin(async move {
            let id = settlement.id.clone();
            match service.settle(&location, settlement, rows).await {
                Ok(_) => fail_point!("confirm-settled", |_| std::process::abort()),
                Err(error) => tracing::warn!(
                    location = location.as_str(),
                    reservation_id = id.as_str(),
                    ?error,
                    "a settled reservation is not settled in the holds' store yet; recovery does it"
                ),
            }
        });
        if telling.as_mut().now_or_never().is_none() {
            self.running.spawn(telling.in_current_span());
        }
    }

    /// The ledger's word on a reservation, if it has spoken. The holds' store, which does not know it, is told.
    pub(super) async fn final_word(
        &self,
        location: &Location,
        id: &ReservationId,
    ) -> Result<Option<Reservation>, Error> {
        let Some(settlement) = self.ledger.settlements(location, std::slice::from_ref(id)).await?.pop() else {
            return Ok(None);
        };
        Ok(Some(match self.tell(location, settlement.clone()).await {
            Ok(reservation) => reservation,
            Err(error) => {
                tracing::warn!(
                    location = location.as_str(),
                    reservation_id = id.as_str(),
                    ?error,
                    "the holds' store was not told of a settlement; it will be when it is asked again"
                );
                settlement.into_reservation()
            }
        }))
    }

    /// Tells the holds' store a final word that was read from the ledger.
    pub(super) async fn tell(&self, location: &Location, settlement: Settlement) -> Result<Reservation, Error> {
        let skus: Vec<_> = settlement.lines.skus().cloned().collect();
        let rows = self.ledger.rows(location, &skus).await?;
        self.settle(location, settlement, rows).await
    }

    /// A reservation as both stores know it. What a caller is told of an end must stay true, and the holds' store may
    /// have forgotten: only what it has from the ledger, and what is plainly live, is told without asking the ledger.
    pub(super) async fn known(&self, location: &Location, reservation: Reservation) -> Result<Reservation, Error> {
        match reservation.state {
            State::Held | State::Confirmed | State::Rejected => Ok(reservation),
            // What follows is rare, and would make the future of every call a large one.
            State::Expired => Ok(Box::pin(self.final_word(location, &reservation.id)).await?.unwrap_or(reservation)),
            // A cancel whose settlement is still on its way could be forgotten, so it is settled before anybody is
            // told.
            State::Cancelled => match Box::pin(self.final_word(location, &reservation.id)).await? {
                Some(word) => Ok(word),
                None => Box::pin(self.settle_cancel(self.ledger.place(location)?, location, reservation.id)).await,
            },
            // "Not known to be durable" is true as well when the ledger does not answer.
            State::Confirming => match Box::pin(self.final_word(location, &reservation.id)).await {
                Ok(Some(word)) => Ok(word),
                Ok(None) | Err(_) => Ok(reservation),
            },
        }
    }
}

/// The refusal of whoever needs a live reservation and finds this one; `None` if it is live.
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
