//! Confirm: (a) `begin` in the holds' store, (b) the group commit, (c) `settle` in the holds' store, (d) the answer.
//!
//! Once `begin` succeeded the confirm rolls forward, here or in `recover`; nothing rolls it back but a Cancel that is settled first. Before
//! any refusal is answered the settlement is read: the ledger's word stands, whatever the holds' store forgot.

use fail::fail_point;

use super::final_word::ended;
use super::{Error, LatePolicy, Service, unexpected};
use crate::domain::{Fingerprint, Lines, Location, Refusal, Reservation, ReservationId, Shortage, State};
use crate::holds::{Command, Reply};
use crate::ledger::{Intent, Place};

impl Service {
    /// Makes the deduction of a reservation, or of a part of it, permanent.
    ///
    /// # Errors
    /// Refused: `ReservationNotFound`, `ConfirmMismatch`, or how the reservation ended; with `Reacquire` also `UnknownSkus` and `RetiredSkus`.
    /// `OutcomeUnknown`: it may still be confirmed, repeat.
    pub async fn confirm(
        &self,
        location: &Location,
        id: ReservationId,
        part: Option<Lines>,
        late: LatePolicy,
    ) -> Result<Reservation, Error> {
        // The place comes first: an overloaded service refuses before it has promised anything.
        let place = self.ledger.place(location)?;
        let wanted = part.as_ref().map(Lines::fingerprint);
        let command = Command::Begin { id: id.clone(), lines: part, reacquire: late == LatePolicy::Reacquire };
        let refusal = match self.apply_filling(location, command).await {
            Ok(Reply::Accepted(reservation)) if reservation.state == State::Confirming => {
                fail_point!("confirm-begun", |_| std::process::abort());
                return self.commit(place, location, reservation).await;
            }
            Ok(Reply::Accepted(reservation)) => return Ok(reservation),
            Ok(Reply::Short(shortages)) => {
                let word = self.reject(place, location, &id, &shortages).await?;
                return answer(Some(word), wanted, Refusal::Rejected(id, shortages));
            }
            Ok(Reply::NotFound) => Refusal::ReservationNotFound(id.clone()),
            Ok(Reply::Mismatch) => Refusal::ConfirmMismatch(id.clone()),
            Ok(Reply::Retired(skus)) => Refusal::RetiredSkus(skus),
            Ok(Reply::Ended(reservation)) => {
                // A cancel that is settled on the way takes a place of its own.
                drop(place);
                let word = self.known(location, reservation).await?;
                return answer(Some(word), wanted, Refusal::Expired(id));
            }
            Ok(reply) => return Err(unexpected(&reply)),
            Err(Error::Refused(refusal)) => refusal,
            Err(error) => return Err(error),
        };
        answer(self.final_word(location, &id).await?, wanted, refusal)
    }

    /// Steps (b) to (d) for a reservation that is confirming.
    pub(super) async fn commit(
        &self,
        place: Place,
        location: &Location,
        begun: Reservation,
    ) -> Result<Reservation, Error> {
        let (Some(reserved), Some(confirmed)) = (begun.reserved, begun.confirmed) else {
            return Err(Error::broken(format!("{begun:?} is confirming without fingerprints")));
        };
        let intent = Intent::Confirm { lines: begun.lines.clone(), reserved, confirmed };
        let verdict = place.settle(location.clone(), begun.id.clone(), intent).await;
        let verdict = verdict.map_err(|error| Error::from(error).once_begun())?;
        fail_point!("confirm-committed", |_| std::process::abort());

        let word = verdict.settlement;
        let told = self.settle(location, word.clone(), verdict.rows).await;
        if let Err(error) = &told {
            tracing::warn!(
                location = location.as_str(),
                reservation_id = begun.id.as_str(),
                ?error,
                "a settled reservation is not settled in the holds' store yet; recovery does it"
            );
        }
        fail_point!("confirm-settled", |_| std::process::abort());
        let Reservation { id, create_ms, expire_ms, .. } = begun;
        let word = told.unwrap_or_else(|_| Reservation { create_ms, expire_ms, ..word.into_reservation() });
        answer(Some(word), begun.confirmed, Refusal::Rejected(id, verdict.shortages))
    }

    /// Ends a reservation whose stock could not be taken again, and answers what stands. It is settled before it is answered: otherwise a stray
    /// duplicate of the request could deduct later what the caller was told is gone.
    async fn reject(
        &self,
        place: Place,
        location: &Location,
        id: &ReservationId,
        shortages: &[Shortage],
    ) -> Result<Reservation, Error> {
        let lines = Lines::from_stored(shortages.iter().map(|short| (short.sku.clone(), short.requested as u32)));
        let verdict = place.settle(location.clone(), id.clone(), Intent::Reject { lines }).await;
        let verdict = verdict.map_err(|error| Error::from(error).once_begun())?;
        fail_point!("confirm-rejected", |_| std::process::abort());
        self.settle(location, verdict.settlement, verdict.rows).await.map_err(Error::once_begun)
    }
}

/// The answer to a confirm: the ledger's word if there is one, else the refusal.
fn answer(word: Option<Reservation>, wanted: Option<Fingerprint>, refusal: Refusal) -> Result<Reservation, Error> {
    let Some(word) = word else { return Err(refusal.into()) };
    Err(match word.state {
        State::Confirmed if word.confirmed == wanted.or(word.reserved) => return Ok(word),
        State::Confirmed => Refusal::ConfirmMismatch(word.id),
        // It names what is short, if it is this call that ended the reservation.
        State::Rejected if matches!(refusal, Refusal::Rejected(..)) => refusal,
        _ => ended(&word).unwrap_or(refusal),
    }
    .into())
}
