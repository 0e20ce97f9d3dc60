//! Holds in Redis 7 (or what speaks its protocol and runs its scripts): shared by any number of instances.
//!
//! One Lua library (`redis/holds.lua`) does every command atomically. What is here: the connection, the script calls, and what an error means.

mod connection;
mod keys;
mod reply;
mod request;
mod silence;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use async_trait::async_trait;
use fred::clients::{Client, Pool};
use fred::interfaces::{ClientLike, LuaInterface};
use fred::types::Value;

use self::connection::{PEER_TIMEOUT, error_of};
use self::request::Arguments;
use self::silence::Silences;
use super::embedded::Clock;
use super::{Command, FORGET_MAX, Holds, HoldsError, RECLAIM_HOLDS_MAX, RECLAIM_LINES_MAX, Reply, SKUS_PAGE};
use crate::domain::Location;
use crate::domain::stock::UNITS_MAX;

/// Where the Redis is and how to use it.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// `redis://`, `rediss://` (TLS), `redis-sentinel://` or `redis-cluster://`.
    pub url: String,
    /// What the names of all keys begin with.
    pub prefix: String,
    /// How long ended reservations are remembered.
    pub retention: Duration,
    /// How many connections.
    pub pool_size: usize,
    /// How long one call may take.
    pub timeout: Duration,
}

/// Holds in Redis.
pub struct RedisHolds {
    pool: Pool,
    silences: Silences,
    prefix: String,
    retention_ms: String,
    clock: Option<Clock>,
    taking: Script,
    freeing: Script,
    warnings: Vec<String>,
}

/// A script, and the digest by which Redis remembers it.
struct Script {
    text: String,
    digest: String,
}

impl Script {
    fn new(shebang: &str) -> Self {
        let text = format!(
            "{shebang}\nlocal UNITS_MAX, RECLAIM_HOLDS_MAX, RECLAIM_LINES_MAX, FORGET_MAX, SKUS_PAGE = \
             {UNITS_MAX}, {RECLAIM_HOLDS_MAX}, {RECLAIM_LINES_MAX}, {FORGET_MAX}, {SKUS_PAGE}\n{}",
            include_str!("redis/holds.lua")
        );
        Self { digest: fred::util::sha1_hash(&text), text }
    }
}

impl RedisHolds {
    /// Connects, and checks that the server's settings keep the promises.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be reached, `Unsuitable` if it is too old or may evict holds.
    pub async fn connect(config: &RedisConfig) -> Result<Self, HoldsError> {
        Self::connect_with_clock(config, None).await
    }

    /// As [`connect`](Self::connect), but with a clock of the caller's instead of the server's: for tests.
    pub async fn connect_with_clock(config: &RedisConfig, clock: Option<Clock>) -> Result<Self, HoldsError> {
        let pool = connection::open(config).await?;
        let warnings = connection::check(pool.next()).await?;
        Ok(Self {
            pool,
            // One late answer is not a silence.
            silences: Silences::new(PEER_TIMEOUT.max(2 * config.timeout)),
            prefix: config.prefix.clone(),
            retention_ms: config.retention.as_millis().to_string(),
            clock,
            // A script without this flag is refused when Redis is full, before it does anything.
            taking: Script::new("#!lua"),
            freeing: Script::new("#!lua flags=allow-oom"),
            warnings,
        })
    }

    /// Which of the server's settings weaken a promise: one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Closes the connections.
    pub async fn close(&self) {
        // What is left to lose is a goodbye: every call was answered before.
        let _ = self.pool.quit().await;
    }

    /// The connection of a location, so that its calls arrive in the order in which they are made; another one while it is down.
    fn client(&self, location: &Location) -> Result<&Client, HoldsError> {
        let mut hasher = DefaultHasher::new();
        location.hash(&mut hasher);
        let clients = self.pool.clients();
        let own = clients.get((hasher.finish() % clients.len().max(1) as u64) as usize);
        own.filter(|own| own.is_connected()).map_or_else(|| self.any_client(), Ok)
    }

    /// A connection that is up. Calls on one that is down would wait for it until their timeout.
    fn any_client(&self) -> Result<&Client, HoldsError> {
        let client = self.pool.next_connected();
        if client.is_connected() { Ok(client) } else { Err(HoldsError::Unavailable("not connected".into())) }
    }

    async fn call(&self, script: &Script, location: &Location, arguments: Vec<Value>) -> Result<Value, HoldsError> {
        let client = self.client(location)?;
        let keys = || keys::of(&self.prefix, location);
        // The values are parts of one buffer, which is not copied.
        let remembered = client.evalsha(script.digest.as_str(), keys(), arguments.clone());
        match self.silences.watch(client, remembered).await {
            // The server was restarted or is a new one. EVAL runs the script and remembers it.
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                self.silences.watch(client, client.eval(script.text.as_str(), keys(), arguments)).await
            }
            result => result,
        }
        .map_err(|error| error_of(&error))
    }
}

/// Reads replies, one to each command: for `fuzz/`.
///
/// # Errors
/// `Corrupt`.
#[cfg(fuzzing)]
pub fn read_reply(commands: &[Command], value: Value) -> Result<Vec<Reply>, HoldsError> {
    reply::read(commands, value)
}

#[async_trait]
impl Holds for RedisHolds {
    async fn apply(&self, location: &Location, commands: &[Command]) -> Result<Vec<Reply>, HoldsError> {
        let mut arguments = Arguments::default();
        arguments.one(self.clock.as_ref().map(|clock| clock().to_string()).unwrap_or_default()).one(&self.retention_ms);
        commands.iter().for_each(|command| arguments.add(command));
        let script = if commands.iter().any(Command::takes_memory) { &self.taking } else { &self.freeing };
        let value = self.call(script, location, arguments.values()).await?;
        reply::read(commands, value)
    }

    async fn ping(&self) -> Result<(), HoldsError> {
        let client = self.any_client()?;
        self.silences.watch(client, client.ping(None)).await.map_err(|error| error_of(&error))
    }
}
