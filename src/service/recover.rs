//! Recovery and sweeping: what a crash, an unknown outcome or the time left behind, one location at a time. Safe on
//! every instance at once.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::{Error, Service, unexpected};
use crate::domain::{Location, Reservation, State};
use crate::holds::{Command, Reply};
use crate::ledger::Verdict;

/// How many reservations are finished at the same time: one group commit's worth.
const CLAIMED_MAX: usize = 100;

/// Commands of one sweep: some 200,000 holds of one line. The next one goes on.
const SWEEPS_MAX: usize = 1000;

/// A sweep is followed by a pause of so many times what it took.
const SWEEP_PAUSE: u32 = 3;

/// Claims of one recovery. The next one goes on.
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
    /// Finishes reservations that nobody touched for `grace` although their settlement may be missing: rolls confirms
    /// forward, settles cancels.
    pub async fn recover(&self, location: &Location, grace: Duration) -> Result<Recovered, Error> {
        let mut recovered = Recovered::default();
        for _ in 0..CLAIMS_MAX {
            let claim = Command::Claim { limit: CLAIMED_MAX, grace_ms: grace.as_millis() as u64 };
            let claimed = match self.apply(location, claim).await? {
                Reply::Claimed(claimed) => claimed,
                reply => return Err(unexpected(&reply)),
            };
            let last = claimed.len() < CLAIMED_MAX;
            for result in join_all(claimed.into_iter().map(|reservation| self.finish(location, reservation))).await {
                match result {
                    // A refusal is an end as well: the ledger has spoken, and the holds' store was told.
                    Ok(_) | Err(Error::Refused(_)) => recovered.finished += 1,
                    Err(error) => {
                        recovered.failed += 1;
                        tracing::warn!(location = location.as_str(), ?error, "a reservation could not be settled yet");
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
        let place = self.ledger.place(location)?;
        match reservation.state {
            State::Confirming => {
                let Verdict { settlement, rows, .. } = self.commit(place, location, reservation).await?.verdict;
                self.settle(location, settlement, rows).await
            }
            State::Cancelled => self.settle_cancel(place, location, reservation.id).await,
            State::Held | State::Confirmed | State::Expired | State::Rejected => {
                Err(Error::broken(format!("{reservation:?} was claimed")))
            }
        }
    }

    /// Reclaims overdue holds, many but not without end; answers how many. It takes the store a fraction of the time,
    /// so that whoever reserves meanwhile hardly notices: nobody waits for it, for a Reserve that is short reclaims by
    /// itself.
    pub async fn sweep(&self, location: &Location) -> Result<usize, Error> {
        let mut swept = 0;
        for _ in 0..SWEEPS_MAX {
            let begun = Instant::now();
            match self.apply(location, Command::Sweep).await? {
                Reply::Swept { holds, more } => {
                    swept += holds;
                    if !more {
                        break;
                    }
                    sleep(begun.elapsed() * SWEEP_PAUSE).await;
                }
                reply => return Err(unexpected(&reply)),
            }
        }
        Ok(swept)
    }

    /// All locations that have stock.
    pub async fn locations(&self) -> Result<Vec<Location>, Error> {
        Ok(self.ledger.locations().await?)
    }
}
