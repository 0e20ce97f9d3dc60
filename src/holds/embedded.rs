//! Holds in this process: for one instance, and gone when it stops. They are also the executable specification of the
//! Lua library in Redis. Each file here says what its twin in `redis/lua/` must do; `location` and `scored` have none,
//! because there Redis itself keeps the data.

mod begin;
mod call;
mod cancel;
mod claim;
mod extend;
mod list;
mod location;
mod reclaim;
mod records;
mod refusal;
mod registers;
mod reindex;
mod reserve;
mod scored;
mod settle;
mod sweep;
mod synced;
mod units;

pub use location::LocationHolds;
pub use scored::Scored;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use super::{Command, Holds, HoldsConfig, HoldsError, Reply};
use crate::domain::Location;

/// Tells the time in Unix milliseconds. Tests pass their own in.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
}

/// All that such a store has at one instant.
pub type Snapshot = HashMap<Location, LocationHolds>;

/// Holds in this process.
pub struct EmbeddedHolds {
    locations: Mutex<Snapshot>,
    clock: Clock,
    config: HoldsConfig,
}

impl EmbeddedHolds {
    /// An empty store.
    pub fn new(config: HoldsConfig, clock: Clock) -> Self {
        Self { locations: Mutex::default(), clock, config }
    }

    /// Looks at what there is now.
    pub fn look<T>(&self, at: impl FnOnce(&Snapshot) -> T) -> T {
        at(&self.locations.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes back to what was there before, as a Redis does that comes up with an older snapshot, or with none.
    pub fn restore(&self, snapshot: Snapshot) {
        *self.locations.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }
}

#[async_trait]
impl Holds for EmbeddedHolds {
    async fn apply(&self, location: &Location, commands: &[Command]) -> Result<Vec<Reply>, HoldsError> {
        // After a panic inside, those whose call it was hear of an unknown outcome, and reconcile finds what it left;
        // what had ended in that call is not forgotten.
        let mut locations = self.locations.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = locations.entry(location.clone()).or_default();
        let now_ms = (self.clock)();
        let replies = call::apply(holds, commands.to_vec(), now_ms, &self.config);
        if holds.is_empty() {
            // Callers who name locations that do not exist must not fill the memory.
            locations.remove(location);
        }
        Ok(replies)
    }

    async fn ping(&self) -> Result<(), HoldsError> {
        Ok(())
    }
}
