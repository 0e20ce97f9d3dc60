//! A holds' store under a clock that the test moves, and what the test does to it behind the service's back.

use std::sync::Arc;

use stockhold::domain::Location;
use stockhold::holds::embedded::{EmbeddedHolds, Snapshot};
use stockhold::holds::redis::{RedisConfig, RedisHolds};
use stockhold::holds::{Holds, HoldsConfig};
use uuid::Uuid;

use super::holds::{TestClock, redis_config};
use super::redis::{client, run};
use super::required;

/// A store of one test's own.
pub(crate) struct TestStore {
    pub(crate) holds: Arc<dyn Holds>,
    pub(crate) clock: TestClock,
    data: Data,
}

/// Where the data of the store is.
enum Data {
    Embedded(Arc<EmbeddedHolds>),
    /// In the Redis of `tests/run`, in keys that begin with the prefix.
    Redis {
        prefix: String,
    },
}

impl TestStore {
    /// A store in this process.
    pub(crate) fn embedded(config: HoldsConfig) -> Self {
        let clock = TestClock::default();
        let holds = Arc::new(EmbeddedHolds::new(config, clock.clock()));
        Self { holds: holds.clone(), clock, data: Data::Embedded(holds) }
    }

    /// A store in Redis.
    pub(crate) async fn redis(holds: HoldsConfig) -> Self {
        let clock = TestClock::default();
        let prefix = format!("test-{}", Uuid::new_v4());
        let config = RedisConfig { holds, ..redis_config(&prefix) };
        let holds = RedisHolds::connect_with_clock(&config, Some(clock.clock())).await.expect("connects");
        Self { holds: Arc::new(holds), clock, data: Data::Redis { prefix } }
    }

    /// The prefix of all keys, if the store is in Redis.
    pub(crate) fn redis_prefix(&self) -> Option<&str> {
        match &self.data {
            Data::Embedded(_) => None,
            Data::Redis { prefix } => Some(prefix),
        }
    }

    /// Loses everything.
    pub(crate) async fn forget(&self) {
        match &self.data {
            Data::Embedded(holds) => holds.restore(Snapshot::default()),
            Data::Redis { prefix } => {
                let keys = keys(prefix).await;
                let keys: Vec<_> = keys.iter().map(String::as_str).collect();
                run::<i64>(&redis().await, "DEL", &keys).await;
            }
        }
    }

    /// Loses the indexes of a location, and no records.
    pub(crate) async fn lose_indexes(&self, location: &Location) {
        match &self.data {
            Data::Embedded(holds) => {
                let mut snapshot = holds.look(Snapshot::clone);
                if let Some(holds) = snapshot.get_mut(location) {
                    (holds.deadlines, holds.unsettled) = Default::default();
                }
                holds.restore(snapshot);
            }
            Data::Redis { prefix } => {
                let keys = ["deadlines", "unsettled"].map(|name| format!("{prefix}:{{{location}}}:{name}"));
                run::<i64>(&redis().await, "DEL", &keys.each_ref().map(String::as_str)).await;
            }
        }
    }

    /// Whether the store keeps anything.
    pub(crate) async fn keeps_something(&self) -> bool {
        match &self.data {
            Data::Embedded(holds) => holds.look(|holds| !holds.is_empty()),
            Data::Redis { prefix } => !keys(prefix).await.is_empty(),
        }
    }
}

async fn redis() -> fred::clients::Client {
    client(&required("STOCKHOLD_TEST_REDIS_URL")).await
}

async fn keys(prefix: &str) -> Vec<String> {
    run(&redis().await, "KEYS", &[&format!("{prefix}:*")]).await
}
