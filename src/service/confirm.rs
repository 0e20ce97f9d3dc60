//! Confirm: (a) `begin` in the holds' store, (b) the group commit in the ledger, (c) the answer, (d) `settle` in the
//! holds' store. The caller does not wait for (d).
//!
//! Once `begin` has succeeded the confirm rolls forward, here or in `recover`. Only a Cancel that is settled first
//! stops it. Before any refusal is answered the settlement is read, because the ledger's word stands, whatever the
//! holds' store has forgotten.

use std::sync::Arc;

use fail::fail_point;

use super::holds::Begun;
use super::settle::ended;
use super::{Error, LatePolicy, Service};
use crate::domain::{Fingerprint, Lines, Location, Refusal, Reservation, ReservationId, Shortage, State};
use crate::ledger::{Intent, QueuePermit, Verdict};

impl Service {
    /// Makes the deduction of a reservation, or of a part of it, permanent.
    ///
    /// # Errors
    /// Refused: `ReservationNotFound`, `ConfirmMismatch`, or how the reservation ended; with `Reacquire` also
    /// `UnknownSkus` and `RetiredSkus`. `OutcomeUnknown`: it may still be confirmed; the caller repeats.
    pub async fn confirm(
        self: &Arc<Self>,
        location: &Location,
        id: ReservationId,
        part: Option<Lines>,
        late: LatePolicy,
    ) -> Result<Reservation, Error> {
        // The permit comes first: an overloaded service refuses before it has promised anything.
        let permit = self.ledger.queue_permit(location)?;
        let wanted = part.as_ref().map(Lines::fingerprint);
        let refusal = match self.holds.begin(location, &id, part, late == LatePolicy::Reacquire).await? {
            Begun::Confirming(reservation) => {
                fail_point!("confirm-begun", |_| std::process::abort());
                let committed = self.commit(permit, location, reservation).await?;
                let Verdict { settlement, rows, .. } = committed.verdict.clone();
                self.settle_hold_soon(location, settlement, rows);
                return committed.answer();
            }
            Begun::Confirmed(reservation) => return Ok(reservation),
            Begun::Short(shortages) => {
                let settled = Box::pin(self.reject(permit, location, &id, &shortages)).await?;
                return answer(Some(settled), wanted, Refusal::Rejected(id, shortages));
            }
            Begun::Ended(reservation) => {
                // If a cancel has to be settled on the way, it takes a permit of its own.
                drop(permit);
                let checked = self.checked_with_ledger(location, reservation).await?;
                return answer(Some(checked), wanted, Refusal::Expired(id));
            }
            Begun::No(refusal) => refusal,
        };
        answer(Box::pin(self.read_settlement(location, &id)).await?, wanted, refusal)
    }

    /// Step (b) for a reservation that is confirming.
    pub(super) async fn commit(
        &self,
        permit: QueuePermit,
        location: &Location,
        begun: Reservation,
    ) -> Result<Committed, Error> {
        let (Some(reserved), Some(confirmed)) = (begun.reserved, begun.confirmed) else {
            return Err(Error::broken(format!("{begun:?} is confirming without fingerprints")));
        };
        let intent = Intent::Confirm { lines: begun.lines.clone(), reserved, confirmed };
        let verdict = permit.settle(location.clone(), begun.id, intent).await.map_err(|error| {
            // Recovery finds it by its hold, unless the holds' store forgets that.
            self.follower.follow(location, begun.lines.skus());
            Error::from(error).once_begun()
        })?;
        fail_point!("confirm-committed", |_| std::process::abort());
        Ok(Committed { wanted: confirmed, create_ms: begun.create_ms, expire_ms: begun.expire_ms, verdict })
    }

    /// Ends a reservation whose stock could not be taken again, and answers what stands. It is settled before it is
    /// answered: otherwise a late duplicate of the request could deduct what the caller was told is gone.
    async fn reject(
        &self,
        permit: QueuePermit,
        location: &Location,
        id: &ReservationId,
        shortages: &[Shortage],
    ) -> Result<Reservation, Error> {
        let lines = shortages.iter().map(|short| (short.sku.clone(), short.requested as u32)).collect();
        let verdict = permit.settle(location.clone(), id.clone(), Intent::Reject { lines }).await;
        let verdict = verdict.map_err(|error| Error::from(error).once_begun())?;
        fail_point!("confirm-rejected", |_| std::process::abort());
        self.holds.settle(location, verdict.settlement, verdict.rows).await.map_err(Error::once_begun)
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
        let settled = Reservation { create_ms, expire_ms, ..verdict.settlement.into_reservation() };
        let refusal = Refusal::Rejected(settled.id.clone(), verdict.shortages);
        answer(Some(settled), Some(wanted), refusal)
    }
}

/// The answer to a confirm: what the ledger has settled if it has, else the refusal.
fn answer(settled: Option<Reservation>, wanted: Option<Fingerprint>, refusal: Refusal) -> Result<Reservation, Error> {
    let Some(settled) = settled else { return Err(refusal.into()) };
    Err(match settled.state {
        State::Confirmed if settled.confirmed == wanted.or(settled.reserved) => return Ok(settled),
        State::Confirmed => Refusal::ConfirmMismatch(settled.id),
        // If this call rejected the reservation, its refusal names what is short.
        State::Rejected if matches!(refusal, Refusal::Rejected(..)) => refusal,
        _ => ended(&settled).unwrap_or(refusal),
    }
    .into())
}
