//! Recovery and sweeping, one location at a time: they finish what a crash or an unknown outcome left behind, and what
//! has expired. Safe on every instance at once.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::{Error, Service};
use crate::domain::{Location, Reservation, State};
use crate::ledger::Verdict;
use crate::telemetry::chain;

/// How many reservations are finished at the same time: one group commit's worth.
const CLAIMED_MAX: usize = 100;

/// How many commands one sweep sends: enough for some 200,000 holds of one line. The next sweep goes on.
const SWEEPS_MAX: usize = 1000;

/// After each command the sweep pauses for this many times what the command took.
const SWEEP_PAUSE: u32 = 3;

/// How often one recovery claims. The next recovery goes on.
const CLAIMS_MAX: usize = 1000;

/// What recovery did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Reservations that are settled now.
    pub finished: usize,
    /// Reservations that could not be finished; they are tried again after the grace period.
    pub failed: usize,
}

impl Service {
    /// Finishes reservations whose settlement may be missing and that have lain untouched for `grace`: rolls confirms
    /// forward, settles cancels.
    pub async fn recover(&self, location: &Location, grace: Duration) -> Result<Recovered, Error> {
        let mut recovered = Recovered::default();
        for _ in 0..CLAIMS_MAX {
            let claimed = self.holds.claim(location, CLAIMED_MAX, grace).await?;
            let last = claimed.len() < CLAIMED_MAX;
            for result in join_all(claimed.into_iter().map(|reservation| self.finish(location, reservation))).await {
                match result {
                    // A refusal is an end as well: the reservation is settled in both stores.
                    Ok(_) | Err(Error::Refused(_)) => recovered.finished += 1,
                    Err(error) => {
                        recovered.failed += 1;
                        tracing::warn!(
                            location = location.as_str(),
                            error = chain(&error),
                            "a reservation could not be settled yet"
                        );
                    }
                }
            }
            if last || recovered.failed > 0 {
                break;
            }
        }
        Ok(recovered)
    }

    async fn finish(&self, location: &Location, reservation: Reservation) -> Result<Reservation, Error> {
        let permit = self.ledger.queue_permit(location)?;
        match reservation.state {
            State::Confirming => {
                let Verdict { settlement, rows, .. } = self.commit(permit, location, reservation).await?.verdict;
                self.holds.settle(location, settlement, rows).await
            }
            State::Cancelled => self.settle_cancel(permit, location, reservation.id).await,
            State::Held | State::Confirmed | State::Expired | State::Rejected => {
                Err(Error::broken(format!("{reservation:?} was claimed")))
            }
        }
    }

    /// Reclaims overdue holds, up to a bound, and answers how many. It uses a fraction of the store's time, so that
    /// Reserves hardly notice. No caller waits for it: a Reserve that finds too little reclaims by itself.
    pub async fn sweep(&self, location: &Location) -> Result<usize, Error> {
        let mut swept = 0;
        for _ in 0..SWEEPS_MAX {
            let begun = Instant::now();
            let (holds, more) = self.holds.sweep(location).await?;
            swept += holds;
            if !more {
                break;
            }
            sleep(begun.elapsed() * SWEEP_PAUSE).await;
        }
        Ok(swept)
    }

    /// All locations that have stock.
    pub async fn locations(&self) -> Result<Vec<Location>, Error> {
        Ok(self.ledger.locations().await?)
    }
}
