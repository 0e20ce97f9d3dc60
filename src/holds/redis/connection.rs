//! The connection to Redis: how it is kept, what its errors mean, and which servers will do.

use std::collections::HashMap;
use std::time::Duration;

use fred::clients::{Client, Pool};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, ConfigInterface};
use fred::types::InfoKind;
use fred::types::config::{Config, ConnectionConfig, PerformanceConfig, ReconnectError, ReconnectPolicy, TcpConfig};

use super::{HoldsError, RedisConfig};

/// The oldest server that knows the script flags this service needs.
const REDIS_MAJOR_MIN: u32 = 7;

/// A peer that acknowledges nothing for so long is dead. Without it, a cut link is noticed after a quarter of an hour.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls that wait for one connection; beyond it they fail at once.
const COMMANDS_QUEUED_MAX: usize = 10_000;

pub(super) async fn open(config: &RedisConfig) -> Result<Pool, HoldsError> {
    let unsuitable = |error: Error| HoldsError::Unsuitable(error.details().to_owned());
    let server = Config::from_url(&config.url).map_err(unsuitable)?;
    let performance = PerformanceConfig { default_command_timeout: config.timeout, ..PerformanceConfig::default() };
    let connection = ConnectionConfig {
        connection_timeout: PEER_TIMEOUT,
        internal_command_timeout: PEER_TIMEOUT,
        // A call whose answer is lost is never repeated behind our back: it may have been executed.
        max_command_attempts: 1,
        max_command_buffer_len: COMMANDS_QUEUED_MAX,
        tcp: TcpConfig { nodelay: Some(true), user_timeout: Some(PEER_TIMEOUT), ..TcpConfig::default() },
        // What a server says after a failover: the connection must look for the new primary.
        reconnect_errors: vec![
            ReconnectError::ClusterDown,
            ReconnectError::Loading,
            ReconnectError::MasterDown,
            ReconnectError::ReadOnly,
        ],
        ..ConnectionConfig::default()
    };
    // Forever, soon at first, then twice a second.
    let policy = ReconnectPolicy::new_exponential(0, 50, 500, 2);
    let pool =
        Pool::new(server, Some(performance), Some(connection), Some(policy), config.pool_size).map_err(unsuitable)?;
    pool.init().await.map_err(|error| HoldsError::Unavailable(error.details().to_owned()))?;
    Ok(pool)
}

/// What an error means for the call.
pub(super) fn error_of(error: &Error) -> HoldsError {
    const REFUSED_BEFORE_EXECUTION: [&str; 12] = [
        "ASK",
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "MOVED",
        "NOAUTH",
        "NOREPLICAS",
        "READONLY",
        "TRYAGAIN",
        "NOPERM",
    ];
    let details = error.details();
    match error.kind() {
        _ if details.starts_with("OOM") => HoldsError::Full,
        _ if REFUSED_BEFORE_EXECUTION.iter().any(|prefix| details.starts_with(prefix)) => {
            HoldsError::Unavailable(details.into())
        }
        // Never written to a connection.
        ErrorKind::Backpressure | ErrorKind::Routing | ErrorKind::Auth => HoldsError::Unavailable(details.into()),
        ErrorKind::IO
        | ErrorKind::Timeout
        | ErrorKind::Canceled
        | ErrorKind::Tls
        | ErrorKind::Cluster
        | ErrorKind::Sentinel => HoldsError::OutcomeUnknown(details.into()),
        _ => HoldsError::Corrupt(details.into()),
    }
}

/// Refuses servers that would break a promise; says what weakens one.
pub(super) async fn check(client: &Client) -> Result<Vec<String>, HoldsError> {
    let info: String = client.info(Some(InfoKind::Server)).await.map_err(|error| error_of(&error))?;
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown").trim();
    if version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major < REDIS_MAJOR_MIN)
    {
        return Err(HoldsError::Unsuitable(format!("it is version {version}, at least {REDIS_MAJOR_MIN}.0 is needed")));
    }

    let mut warnings = Vec::new();
    match setting(client, "maxmemory-policy").await {
        Some(policy) if policy.starts_with("allkeys") => {
            return Err(HoldsError::Unsuitable(format!(
                "its maxmemory-policy is {policy}, which throws live holds away: set it to noeviction"
            )));
        }
        Some(_) => {}
        None => warnings.push(
            "CONFIG GET is not allowed: make sure that maxmemory-policy is noeviction and that appendonly is on".into(),
        ),
    }
    let appends = setting(client, "appendonly").await;
    let saves = setting(client, "save").await;
    if appends.as_deref() == Some("no") {
        warnings.push(match saves.as_deref() {
            Some("") => "appendonly is off and nothing is saved: all holds are lost when Redis restarts".into(),
            _ => "appendonly is off: holds since the last snapshot are lost when Redis restarts".into(),
        });
    }
    Ok(warnings)
}

/// One setting, if the server lets us read it.
async fn setting(client: &Client, name: &str) -> Option<String> {
    let settings: HashMap<String, String> = client.config_get(name).await.ok()?;
    settings.get(name).cloned()
}
