//! Holds in Redis 7 (or what speaks its protocol and runs its functions): shared by any number of instances.
//!
//! One Lua library (`redis/library.rs`) does every command atomically. What is here: the calls.

mod config;
mod connection;
mod error;
mod keys;
mod library;
mod reply;
mod request;
mod server;
mod silence;

use std::hash::{DefaultHasher, Hash, Hasher};

use async_trait::async_trait;
use fred::error::Error;
use fred::interfaces::{ClientLike, FunctionInterface};
use fred::types::Value;

use self::connection::{Connection, Connections};
use self::error::{at_start, error_of};
use self::library::Library;
use self::request::Request;
use self::server::Found;
use super::embedded::Clock;
use super::{Command, Holds, HoldsConfig, HoldsError, Reply};
use crate::domain::Location;

pub use self::config::RedisConfig;

/// Holds in Redis.
pub struct RedisHolds {
    connections: Connections,
    prefix: String,
    config: HoldsConfig,
    clock: Option<Clock>,
    library: Library,
    found: Found,
}

impl RedisHolds {
    /// Connects, and checks that the server's settings keep the promises.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be reached, `Unsuitable` if it is too old, may evict holds, or lacks rights.
    pub async fn connect(config: &RedisConfig) -> Result<Self, HoldsError> {
        Self::connect_with_clock(config, None).await
    }

    /// As [`connect`](Self::connect), but with a clock of the caller's instead of the server's: for tests.
    pub async fn connect_with_clock(config: &RedisConfig, clock: Option<Clock>) -> Result<Self, HoldsError> {
        Self::checked(config, clock).await.map_err(at_start)
    }

    async fn checked(config: &RedisConfig, clock: Option<Clock>) -> Result<Self, HoldsError> {
        let connections = Connections::open(config).await?;
        let found = server::check(&*connections.any()?).await?;
        let holds = Self {
            connections,
            prefix: config.prefix.clone(),
            config: config.holds,
            clock,
            library: Library::new(),
            found,
        };
        // Now, because a Redis that is full takes no library, and what frees stock must work there. One that is full
        // already may have it from before.
        let loaded = holds.load(&*holds.connections.any()?).await.map_err(|error| error_of(&error));
        unless_full(loaded)?;
        // A call without commands needs the same rights as any other.
        let location = Location::parse("").map_err(HoldsError::Corrupt)?;
        unless_full(holds.apply(&location, &[]).await.map(drop))?;
        Ok(holds)
    }

    /// Which of the server's settings weaken a promise: one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.found.warnings
    }

    /// What the server is: product, version, topology and persistence.
    pub fn about(&self) -> &str {
        &self.found.about
    }

    async fn call(&self, function: &str, location: &Location, request: Request) -> Result<Value, HoldsError> {
        let mut hasher = DefaultHasher::new();
        location.hash(&mut hasher);
        let (connection, packed) = (self.connections.of(hasher.finish())?, request.packed());
        let called = || {
            let (keys, packed) = (keys::of(&self.prefix, location), packed.clone());
            connection.call(async |client| client.fcall(function, keys, packed).await)
        };
        match called().await {
            // A new server, or one that has lost its functions. Others may be loading them too, which makes no
            // difference.
            Err(error) if error.details().contains("Function not found") => {
                self.load(&connection).await.map_err(|error| error_of(&error))?;
                called().await
            }
            result => result,
        }
        .map_err(|error| error_of(&error))
    }

    async fn load(&self, connection: &Connection) -> Result<(), Error> {
        let text = self.library.text.as_str();
        connection.call(async |client| client.function_load_cluster(true, text).await).await
    }
}

fn unless_full(done: Result<(), HoldsError>) -> Result<(), HoldsError> {
    match done {
        Err(HoldsError::Full) => Ok(()),
        done => done,
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
        let mut request = Request::default();
        request.one(self.clock.as_ref().map(|clock| clock().to_string()).unwrap_or_default());
        request.one(self.config.retention.as_millis()).one(self.config.tombstones_max);
        commands.iter().for_each(|command| request.add(command));
        let Library { taking, freeing, .. } = &self.library;
        let function = if commands.iter().any(Command::takes_memory) { taking } else { freeing };
        let value = self.call(function, location, request).await?;
        reply::read(commands, value)
    }

    async fn ping(&self) -> Result<(), HoldsError> {
        let pong = self.connections.any()?.call(async |client| client.ping(None).await).await;
        pong.map_err(|error| error_of(&error))
    }
}
