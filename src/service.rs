//! The use cases, one file each: the protocol between the holds' store and the ledger. They know neither gRPC nor SQL
//! nor Lua. `holds` pairs the commands of the holds' store with their replies.
//!
//! A use case of several steps is not dropped by its caller: `grpc` runs it to its end. A crash may cut it at any await
//! point. `recover` finishes what a crash leaves half done, with the same code.

mod cancel;
mod confirm;
mod error;
mod extend;
mod follow;
mod holds;
mod losses;
mod query;
pub mod reconcile;
mod recover;
mod reserve;
mod settle;
mod stock;
mod sync;

use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::holds::HoldsError;
use crate::holds::batched::BatchedHolds;
use crate::ledger::{Ledger, LedgerError};
use follow::Follower;
use holds::FillingHolds;
use losses::Losses;

pub use error::{Cause, Error};

/// The bounds of a reservation's time.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The `ttl` of a Reserve that names none.
    pub ttl_default: Duration,
    /// The shortest `ttl`.
    pub ttl_min: Duration,
    /// The longest `ttl`.
    pub ttl_max: Duration,
    /// The longest that Extend may make a reservation last, from its creation.
    pub lifetime_max: Duration,
}

impl Limits {
    /// The `ttl` if it is within its bounds; else the error names them.
    pub fn check_ttl(&self, ttl: Duration) -> Result<Duration, String> {
        if (self.ttl_min..=self.ttl_max).contains(&ttl) {
            return Ok(ttl);
        }
        let [min, max] = [self.ttl_min, self.ttl_max].map(humantime::format_duration);
        Err(format!("must be {min} to {max}"))
    }
}

/// What Confirm and Extend do with a reservation that has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatePolicy {
    /// Refuse.
    Reject,
    /// Take the stock again, if it is still there.
    Reacquire,
}

/// The use cases over one pair of stores.
pub struct Service {
    holds: FillingHolds,
    ledger: Ledger,
    limits: Limits,
    follower: Follower,
    losses: Losses,
    /// Work that goes on after its caller has been answered.
    running: TaskTracker,
}

impl Service {
    /// The service over these stores.
    pub fn new(holds: BatchedHolds, ledger: Ledger, limits: Limits) -> Self {
        let follower = Follower::new(holds.clone(), ledger.clone());
        let holds = FillingHolds::new(holds, ledger.clone());
        Self { holds, ledger, limits, follower, losses: Losses::default(), running: TaskTracker::new() }
    }

    /// The bounds of a reservation's time.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Waits for the work that goes on after its caller has been answered.
    pub async fn quiet(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Answers if the holds' store is there.
    pub async fn ping_holds(&self) -> Result<(), HoldsError> {
        self.holds.ping().await
    }

    /// Answers if the ledger is there.
    pub async fn ping_ledger(&self) -> Result<(), LedgerError> {
        self.ledger.ping().await
    }
}
