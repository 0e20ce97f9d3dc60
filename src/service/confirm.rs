//! Confirm: (a) `begin` in the holds' store, (b) the group commit, (c) the answer, and without keeping the caller
//! waiting (d) `settle` in the holds' store.
//!
//! Once `begin` succeeded the confirm rolls forward, here or in `recover`; nothing rolls it back but a Cancel that is
//! settled first. Before any refusal is answered the settlement is read: the ledger's word stands, whatever the holds'
//! store forgot.

use std::sync::Arc;

use fail::fail_point;

use super::final_word::ended;
use super::{Error, LatePolicy, Service, unexpected};
use crate::domain::{Fingerprint, Lines, Location, Refusal, Reservation, ReservationId, Shortage, State};
use crate::holds::{Command, Reply};
use crate::ledger::{Intent, Place, Verdict};

impl Service {
    /// Makes the deduction of a reservation, or of a part of it, permanent.
    ///
    /// # Errors
    /// Refused: `ReservationNotFound`, `ConfirmMismatch`, or how the reservation ended; with `Reacquire` also
    /// `UnknownSkus` and `RetiredSkus`. `OutcomeUnknown`: it may still be confirmed, repeat.
    pub async fn confirm(
        self: &Arc<Self>,
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
                let committed = self.commit(place, location, reservation).await?;
                let Verdict { settlement, rows, .. } = committed.verdict.clone();
                self.settle_soon(location, settlement, rows);
                return committed.answer();
            }
            Ok(Reply::Accepted(reservation)) => return Ok(reservation),
            Ok(Reply::Short(shortages)) => {
                let word = Box::pin(self.reject(place, location, &id, &shortages)).await?;
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
        answer(Box::pin(self.final_word(location, &id)).await?, wanted, refusal)
    }

    /// Step (b) for a reservation that is confirming.
    pub(super) async fn commit(
        &self,
        place: Place,
        location: &Location,
        begun: Reservation,
    ) -> Result<Committed, Error> {
        let (Some(reserved), Some(confirmed)) = (begun.reserved, begun.confirmed) else {
            return Err(Error::broken(format!("{begun:?} is confirming without fingerprints")));
        };
        let intent = Intent::Confirm { lines: begun.lines, reserved, confirmed };
        let verdict = place.settle(location.clone(), begun.id, intent).await;
        let verdict = verdict.map_err(|error| Error::from(error).once_begun())?;
        fail_point!("confirm-committed", |_| std::process::abort());
        Ok(Committed { wanted: confirmed, create_ms: begun.create_ms, expire_ms: begun.expire_ms, verdict })
    }

    /// Ends a reservation whose stock could not be taken again, and answers what stands. It is settled before it is
    /// answered: otherwise a stray duplicate of the request could deduct later what the caller was told is gone.
    async fn reject(
        &self,
        place: Place,
        location: &Location,
        id: &ReservationId,
        shortages: &[Shortage],
    ) -> Result<Reservation, Error> {
        let lines = shortages.iter().map(|short| (short.sku.clone(), short.requested as u32)).collect();
        let verdict = place.settle(location.clone(), id.clone(), Intent::Reject { lines }).await;
        let verdict = verdict.map_err(|error| Error::from(error).once_begun())?;
        fail_point!("confirm-rejected", |_| std::process::abort());
        self.settle(location, verdict.settlement, verdict.rows).await.map_err(Error::once_begun)
    }
}

/// A confirm that the ledger has decided.
pub(super) struct Committed {
    wanted: Fingerprint,
    create_ms: Option<u64>,
    expire_ms: Option<u64>,
    pub(super) verdict: Verdict,
}

impl Committed {
    fn answer(self) -> Result<Reservation, Error> {
        let Self { wanted, create_ms, expire_ms, verdict } = self;
        let word = Reservation { create_ms, expire_ms, ..verdict.settlement.into_reservation() };
        let refusal = Refusal::Rejected(word.id.clone(), verdict.shortages);
        answer(Some(word), Some(wanted), refusal)
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
