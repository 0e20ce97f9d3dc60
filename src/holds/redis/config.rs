//! How to reach a Redis, and how to use it.

use std::time::Duration;

use crate::holds::HoldsConfig;

/// Where the Redis is and how to use it. It has no `Debug`, because its URL may hold a password.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://`, `rediss://` (TLS), `redis-sentinel://` or `redis-cluster://`.
    pub url: String,
    /// What the names of all keys begin with.
    pub prefix: String,
    /// How much is remembered.
    pub holds: HoldsConfig,
    /// How many connections.
    pub pool_size: usize,
    /// How long one call may take.
    pub timeout: Duration,
}
