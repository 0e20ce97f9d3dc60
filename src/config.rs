//! What `serve` and `migrate` can be told, by flag or by `STOCKHOLD_*` variable, and the checks of one value against
//! another.

mod url;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args};

use crate::grpc::calls::CallsConfig;
use crate::grpc::http2::ConnectionsConfig;
use crate::holds::HoldsConfig;
use crate::holds::redis::RedisConfig;
use crate::ledger::LedgerConfig;
use crate::service::Limits;
use crate::tasks::TasksConfig;
use crate::telemetry::LogFormat;
use url::{PublicUrl, Url, check_mysql, check_redis};
use values::{connections, count, listen, memory, prefix, threads};

pub use values::duration;

/// A value that stops the start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// Where the database is.
#[derive(Args, Debug)]
pub struct DatabaseArgs {
    /// mysql://user:password@host/database or sqlite://file?mode=rwc
    #[arg(long, env = "STOCKHOLD_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    #[arg(default_value = "sqlite://stockhold.db?mode=rwc")]
    database_url: Url,
    /// A file that holds the database URL, so that its password is not in the environment
    #[arg(long, env = "STOCKHOLD_DATABASE_URL_FILE", value_name = "FILE", conflicts_with = "database_url")]
    database_url_file: Option<PathBuf>,
}

/// What `migrate` can be told.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// How the log looks
    #[arg(long, env = "STOCKHOLD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// What `serve` can be told.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Where to listen, an IP address and a port; port 0 takes a free one
    #[arg(long, env = "STOCKHOLD_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:50051")]
    #[arg(value_parser = listen)]
    listen: SocketAddr,
    /// Threads that serve. One is the fastest while Redis, MySQL and the callers are the bound; more serve many
    /// locations from one process
    #[arg(long, env = "STOCKHOLD_THREADS", value_name = "N", default_value = "1", value_parser = threads())]
    pub threads: usize,
    #[command(flatten)]
    database: DatabaseArgs,
    /// redis://, rediss://, redis-cluster:// or redis-sentinel://; without it holds live in this process
    #[arg(long, env = "STOCKHOLD_REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis_url: Option<Url>,
    /// A file that holds the Redis URL, so that its password is not in the environment
    #[arg(long, env = "STOCKHOLD_REDIS_URL_FILE", value_name = "FILE", conflicts_with = "redis_url")]
    redis_url_file: Option<PathBuf>,
    /// What the names of all keys in Redis begin with
    #[arg(long, env = "STOCKHOLD_REDIS_PREFIX", value_name = "TEXT", default_value = "stockhold")]
    #[arg(value_parser = prefix)]
    redis_prefix: String,
    /// Connections to Redis
    #[arg(long, env = "STOCKHOLD_REDIS_POOL", value_name = "N", default_value = "2", value_parser = count())]
    redis_pool: usize,
    /// How long an answer of Redis may take
    #[arg(long, env = "STOCKHOLD_REDIS_TIMEOUT", value_name = "TIME", default_value = "1s", value_parser = duration)]
    redis_timeout: Duration,
    /// Connections to the database, at least 6: some are the group commit's alone
    #[arg(long, env = "STOCKHOLD_DATABASE_CONNECTIONS", value_name = "N", default_value = "10")]
    #[arg(value_parser = connections())]
    database_connections: u32,
    /// Confirms and cancels under way at a time, in each queue of the ledger; more are refused
    #[arg(long, env = "STOCKHOLD_QUEUE_MAX", value_name = "N", default_value = "4096", value_parser = count())]
    queue_max: usize,
    /// Confirms and cancels in one transaction
    #[arg(long, env = "STOCKHOLD_BATCH_MAX", value_name = "N", default_value = "128", value_parser = count())]
    batch_max: usize,
    /// How long Reserve holds when the caller does not say
    #[arg(long, env = "STOCKHOLD_TTL_DEFAULT", value_name = "TIME", default_value = "10m", value_parser = duration)]
    ttl_default: Duration,
    /// The shortest time that Reserve holds
    #[arg(long, env = "STOCKHOLD_TTL_MIN", value_name = "TIME", default_value = "1s", value_parser = duration)]
    ttl_min: Duration,
    /// The longest time that Reserve holds
    #[arg(long, env = "STOCKHOLD_TTL_MAX", value_name = "TIME", default_value = "1h", value_parser = duration)]
    ttl_max: Duration,
    /// The longest that Extend may make a reservation last, from its creation
    #[arg(long, env = "STOCKHOLD_LIFETIME_MAX", value_name = "TIME", default_value = "24h", value_parser = duration)]
    lifetime_max: Duration,
    /// How long the holds' store remembers a reservation that has ended
    #[arg(long, env = "STOCKHOLD_RETENTION", value_name = "TIME", default_value = "1h", value_parser = duration)]
    retention: Duration,
    /// The most tombstones of a location: ids that were cancelled and never held; more such cancels are refused
    #[arg(long, env = "STOCKHOLD_TOMBSTONES_MAX", value_name = "N", default_value = "1000000", value_parser = count())]
    tombstones_max: usize,
    /// Calls that may run at once, each request of a Many or a Session counted; more are refused, and a connection that
    /// is alone gets half of them
    #[arg(long, env = "STOCKHOLD_CONCURRENCY_MAX", value_name = "N", default_value = "4096", value_parser = count())]
    concurrency_max: usize,
    /// Memory for the requests of calls, from their first byte to their answer, at least 4 KiB each; more are refused
    #[arg(long, env = "STOCKHOLD_CALL_BYTES_MAX", value_name = "SIZE", default_value = "64MiB", value_parser = memory)]
    call_bytes_max: usize,
    /// Memory for answers that wait to be sent; for more the oldest of them end, and calls are refused
    #[arg(long, env = "STOCKHOLD_UNSENT_BYTES_MAX", value_name = "SIZE", default_value = "64MiB")]
    #[arg(value_parser = memory)]
    unsent_bytes_max: usize,
    /// Sessions that may be open at once, an eighth of them on one connection; for more the longest idle one makes way
    #[arg(long, env = "STOCKHOLD_SESSIONS_MAX", value_name = "N", default_value = "1024", value_parser = count())]
    sessions_max: usize,
    /// Whether callers may ask for the descriptors of the API, as grpcurl does
    #[arg(long, env = "STOCKHOLD_REFLECTION", value_name = "BOOL", default_value = "true", action = ArgAction::Set)]
    reflection: bool,
    /// Connections that may be open at once; for one more the longest idle one is closed
    #[arg(long, env = "STOCKHOLD_CONNECTIONS_MAX", value_name = "N", default_value = "900", value_parser = count())]
    connections_max: usize,
    /// After how long without a call a connection is closed
    #[arg(long, env = "STOCKHOLD_CONNECTION_IDLE_MAX", value_name = "TIME", default_value = "10m")]
    #[arg(value_parser = duration)]
    connection_idle_max: Duration,
    /// After how long, a tenth more or less, a connection is closed when its calls are done
    #[arg(long, env = "STOCKHOLD_CONNECTION_AGE_MAX", value_name = "TIME", default_value = "1h")]
    #[arg(value_parser = duration)]
    connection_age_max: Duration,
    /// The longest that a caller waits for an answer, whatever their own deadline
    #[arg(long, env = "STOCKHOLD_DEADLINE_MAX", value_name = "TIME", default_value = "10s", value_parser = duration)]
    deadline_max: Duration,
    /// How long the start waits for a store that is away; 1ms waits for none
    #[arg(long, env = "STOCKHOLD_START_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = duration)]
    start_timeout: Duration,
    /// How long shutting down may take; open sessions are read for a quarter of it
    #[arg(long, env = "STOCKHOLD_SHUTDOWN_GRACE", value_name = "TIME", default_value = "20s", value_parser = duration)]
    shutdown_grace: Duration,
    /// How often overdue holds are reclaimed, and what ended longer ago than the retention is forgotten
    #[arg(long, env = "STOCKHOLD_SWEEP_EVERY", value_name = "TIME", default_value = "1s", value_parser = duration)]
    sweep_every: Duration,
    /// How often unfinished confirms and cancels are looked for
    #[arg(long, env = "STOCKHOLD_RECOVER_EVERY", value_name = "TIME", default_value = "1s", value_parser = duration)]
    recover_every: Duration,
    /// How long a confirm or cancel must lie untouched before any instance finishes it; shorter than a call takes only
    /// costs double work
    #[arg(long, env = "STOCKHOLD_RECOVER_GRACE", value_name = "TIME", default_value = "10s", value_parser = duration)]
    recover_grace: Duration,
    /// How often changed stock rows are pushed to the holds' store
    #[arg(long, env = "STOCKHOLD_SYNC_EVERY", value_name = "TIME", default_value = "1s", value_parser = duration)]
    sync_every: Duration,
    /// How often the two stores are compared in full
    #[arg(long, env = "STOCKHOLD_RECONCILE_EVERY", value_name = "TIME", default_value = "1h", value_parser = duration)]
    reconcile_every: Duration,
    /// How often the database's books are compared with each other, the first time at a random time within it
    #[arg(long, env = "STOCKHOLD_BOOKS_EVERY", value_name = "TIME", default_value = "24h", value_parser = duration)]
    books_every: Duration,
    /// How the log looks; RUST_LOG sets the levels
    #[arg(long, env = "STOCKHOLD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// A server's configuration: values that fit together.
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The database.
    pub ledger: LedgerConfig,
    /// Redis; none means holds in this process.
    pub redis: Option<RedisConfig>,
    /// How much the holds' store remembers.
    pub holds: HoldsConfig,
    /// The bounds of a reservation's time.
    pub limits: Limits,
    /// Background work.
    pub tasks: TasksConfig,
    /// The bounds of calls.
    pub calls: CallsConfig,
    /// Sessions that may be open at once.
    pub sessions_max: usize,
    /// Whether reflection is served.
    pub reflection: bool,
    /// The bytes of answers that may wait to be sent before calls are refused.
    pub unsent_bytes_max: usize,
    /// The bounds of callers' connections.
    pub connections: ConnectionsConfig,
    /// How long the start waits for a store that is away.
    pub start_timeout: Duration,
    /// How long shutting down may take.
    pub shutdown_grace: Duration,
    /// How the log looks.
    pub log_format: LogFormat,
}

impl MigrateArgs {
    /// The database, over one connection: migrating needs no more.
    pub fn resolve(self) -> Result<LedgerConfig, ConfigError> {
        Ok(LedgerConfig { url: self.database.url()?, connections_max: 1, queue_max: 1, batch_max: 1 })
    }
}

impl DatabaseArgs {
    fn url(self) -> Result<String, ConfigError> {
        let (flag, url) = match self.database_url_file {
            Some(file) => ("--database-url-file", read(&file)?),
            None => ("--database-url", self.database_url.0),
        };
        let public = PublicUrl(&url);
        if url.starts_with("sqlite:") {
            // A pool closes connections, and with the last one such a database is gone.
            check(!url.contains(":memory:") && !url.contains("mode=memory"), || {
                format!("{flag}: must name a file, is {public}")
            })?;
        } else {
            check_mysql(&url).map_err(|wrong| ConfigError(format!("{flag}: {wrong}, is {public}")))?;
        }
        Ok(url)
    }
}

impl ServeArgs {
    /// Reads the files that are named, and checks the values against each other. The error names the first that do not
    /// fit.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        for ((lower, low), (upper, high)) in [
            (("--ttl-min", self.ttl_min), ("--ttl-default", self.ttl_default)),
            (("--ttl-default", self.ttl_default), ("--ttl-max", self.ttl_max)),
            (("--ttl-max", self.ttl_max), ("--lifetime-max", self.lifetime_max)),
            (("--redis-timeout", self.redis_timeout), ("--deadline-max", self.deadline_max)),
        ] {
            let (low_text, high_text) = (humantime::format_duration(low), humantime::format_duration(high));
            check(low <= high, || format!("{lower} ({low_text}) must not be longer than {upper} ({high_text})"))?;
        }
        let redis_url = match self.redis_url_file {
            Some(file) => Some(("--redis-url-file", read(&file)?)),
            None => self.redis_url.map(|url| ("--redis-url", url.0)),
        };
        if let Some((flag, url)) = &redis_url {
            check_redis(url).map_err(|wrong| ConfigError(format!("{flag}: {wrong}, is {}", PublicUrl(url))))?;
        }
        let holds = HoldsConfig { retention: self.retention, tombstones_max: self.tombstones_max };
        Ok(Config {
            listen: self.listen,
            ledger: LedgerConfig {
                url: self.database.url()?,
                connections_max: self.database_connections,
                queue_max: self.queue_max,
                batch_max: self.batch_max,
            },
            redis: redis_url.map(|(_, url)| RedisConfig {
                url,
                prefix: self.redis_prefix,
                holds,
                pool_size: self.redis_pool,
                timeout: self.redis_timeout,
            }),
            holds,
            limits: Limits {
                ttl_default: self.ttl_default,
                ttl_min: self.ttl_min,
                ttl_max: self.ttl_max,
                lifetime_max: self.lifetime_max,
            },
            tasks: TasksConfig {
                sweep_every: self.sweep_every,
                recover_every: self.recover_every,
                recover_grace: self.recover_grace,
                sync_every: self.sync_every,
                reconcile_every: self.reconcile_every,
                books_every: self.books_every,
            },
            calls: CallsConfig {
                concurrency_max: self.concurrency_max,
                call_bytes_max: self.call_bytes_max,
                deadline_max: self.deadline_max,
            },
            unsent_bytes_max: self.unsent_bytes_max,
            sessions_max: self.sessions_max,
            reflection: self.reflection,
            connections: ConnectionsConfig::new(
                self.connections_max,
                self.connection_idle_max,
                self.connection_age_max,
            ),
            start_timeout: self.start_timeout,
            shutdown_grace: self.shutdown_grace,
            log_format: self.log_format,
        })
    }
}

impl Config {
    /// Where the database is, without secrets.
    pub fn database_name(&self) -> String {
        format!("the database {}", PublicUrl(&self.ledger.url))
    }

    /// Where Redis is, without secrets; none where holds live in this process.
    pub fn redis_name(&self) -> Option<String> {
        self.redis.as_ref().map(|redis| format!("Redis at {}", PublicUrl(&redis.url)))
    }

    /// Combinations of stores that look as if several instances could share them.
    pub fn warnings(&self) -> Vec<&'static str> {
        match (&self.redis, self.ledger.url.starts_with("sqlite:")) {
            (Some(_), true) => {
                vec![
                    "Redis with SQLite: instances that share Redis but not the database file would sell the same \
                     units twice",
                ]
            }
            (None, false) => {
                vec![
                    "a database without --redis-url: instances that share the database would not know of each \
                     other's holds",
                ]
            }
            (Some(_), false) | (None, true) => vec![],
        }
    }
}

fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError(otherwise())) }
}

fn read(file: &Path) -> Result<String, ConfigError> {
    let is_url = file.to_string_lossy().contains("://");
    check(!is_url, || "a file must be named where its content, a URL, was given".to_owned())?;
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError(format!("{}: {error}", file.display())))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests;
