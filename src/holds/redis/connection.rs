//! The connection to Redis: how it is kept, what its errors mean, and which servers will do.

use std::collections::HashMap;
use std::time::Duration;

use fred::clients::{Client, Pool};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, ConfigInterface};
use fred::types::InfoKind;
use fred::types::config::{Config, ConnectionConfig, PerformanceConfig, ReconnectError, ReconnectPolicy, TcpConfig};

use super::{HoldsError, RedisConfig};

/// The oldest server that knows the functions this service needs, and their flags.
const REDIS_MAJOR_MIN: u32 = 7;

/// A peer that acknowledges nothing, or answers nothing, for so long is dead. Without it, a cut link is noticed after a
/// quarter of an hour.
pub(super) const PEER_TIMEOUT: Duration = Duration::from_secs(2);

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
        reconnect_errors: DROPS_THE_CONNECTION.map(|(_, error)| error).into(),
        ..ConnectionConfig::default()
    };
    // Forever, soon at first, then twice a second.
    let policy = ReconnectPolicy::new_exponential(0, 50, 500, 2);
    let pool =
        Pool::new(server, Some(performance), Some(connection), Some(policy), config.pool_size).map_err(unsuitable)?;
    pool.init().await.map_err(|error| HoldsError::Unavailable(error.details().to_owned()))?;
    Ok(pool)
}

/// Errors of the server that it answers before it executes anything.
const REFUSED_BEFORE_EXECUTION: [&str; 8] =
    ["ASK", "BUSY", "MISCONF", "MOVED", "NOAUTH", "NOPERM", "NOREPLICAS", "TRYAGAIN"];

/// Errors upon which fred drops the connection, and answers them to every call that was on its way over it: for those
/// the outcome is unknown.
const DROPS_THE_CONNECTION: [(&str, ReconnectError); 4] = [
    ("CLUSTERDOWN", ReconnectError::ClusterDown),
    ("LOADING", ReconnectError::Loading),
    ("MASTERDOWN", ReconnectError::MasterDown),
    ("READONLY", ReconnectError::ReadOnly),
];

/// An error of fred that has no kind of its own, about a call which was not written to any connection: it was just
/// lost.
const NEVER_WRITTEN: &str = "Failed to route command.";

/// The same, about a call whose slot moved, or which may have been written to a connection that was replaced.
const NOT_WRITTEN_AGAIN: &str = "Too many failed write attempts.";

/// What an error means for the call.
pub(super) fn error_of(error: &Error) -> HoldsError {
    let details = error.details();
    let begins_with = |word: &str| details.split(' ').next() == Some(word);
    match error.kind() {
        _ if begins_with("OOM") => HoldsError::Full,
        _ if REFUSED_BEFORE_EXECUTION.iter().any(|word| begins_with(word)) => HoldsError::Unavailable(details.into()),
        _ if DROPS_THE_CONNECTION.iter().any(|(word, _)| begins_with(word)) => {
            HoldsError::OutcomeUnknown(details.into())
        }
        _ if details == NEVER_WRITTEN => HoldsError::Unavailable(details.into()),
        _ if details == NOT_WRITTEN_AGAIN => HoldsError::OutcomeUnknown(details.into()),
        ErrorKind::Backpressure | ErrorKind::Routing | ErrorKind::Auth => HoldsError::Unavailable(details.into()),
        ErrorKind::IO
        | ErrorKind::Timeout
        | ErrorKind::Canceled
        | ErrorKind::Tls
        | ErrorKind::Cluster
        | ErrorKind::Sentinel => HoldsError::OutcomeUnknown(details.into()),
        // Besides what a server answers, fred has this kind for what it cannot tell: a channel that closed, say.
        ErrorKind::Unknown if !is_reply(details) => HoldsError::OutcomeUnknown(details.into()),
        _ => HoldsError::Corrupt(details.into()),
    }
}

/// An error that a server answered begins with its code, in capitals.
fn is_reply(details: &str) -> bool {
    let code = details.split(' ').next().unwrap_or_default();
    !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase())
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
        Some(policy) if policy != "noeviction" => warnings.push(format!(
            "maxmemory-policy is {policy}: when Redis is full it may forget cancels in locations that never held anything"
        )),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_tell_what_was_not_executed_from_what_may_have_been() {
        for (kind, details, meaning) in [
            (ErrorKind::Unknown, "OOM command not allowed when used memory > 'maxmemory'.", "full"),
            (ErrorKind::Unknown, "MISCONF Redis is configured to save RDB snapshots", "not executed"),
            (ErrorKind::Cluster, "MOVED 3999 127.0.0.1:6381", "not executed"),
            (ErrorKind::Auth, "NOAUTH Authentication required.", "not executed"),
            (ErrorKind::Backpressure, "Max queue length.", "not executed"),
            (ErrorKind::Unknown, "Failed to route command.", "not executed"),
            (ErrorKind::Unknown, "Too many failed write attempts.", "unknown"),
            (ErrorKind::IO, "Connection closed.", "unknown"),
            (ErrorKind::Unknown, "READONLY You can't write against a read only replica.", "unknown"),
            (ErrorKind::Unknown, "LOADING Redis is loading the dataset in memory", "unknown"),
            (ErrorKind::Timeout, "Request timed out.", "unknown"),
            (ErrorKind::Unknown, "channel closed", "unknown"),
            (ErrorKind::Unknown, "ERR user_script:1: corrupt record: r:1", "corrupt"),
            (ErrorKind::InvalidArgument, "WRONGTYPE Operation against a key", "corrupt"),
            (ErrorKind::Parse, "Invalid UTF-8 string.", "corrupt"),
        ] {
            let found = match error_of(&Error::new(kind, details)) {
                HoldsError::Full => "full",
                HoldsError::Unavailable(_) => "not executed",
                HoldsError::OutcomeUnknown(_) => "unknown",
                HoldsError::Corrupt(_) => "corrupt",
                HoldsError::Unsuitable(_) => "unsuitable",
                HoldsError::Overloaded => "overloaded",
            };
            assert_eq!(found, meaning, "{details}");
        }
    }
}
