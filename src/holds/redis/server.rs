//! Which servers will do: those that would break a promise are refused, and what weakens one is said.

use std::collections::HashMap;

use fred::interfaces::{ClientLike, ConfigInterface};
use fred::types::InfoKind;

use super::connection::Connection;
use super::error::error_of;
use crate::holds::HoldsError;

/// The oldest server that knows the functions this service needs, and their flags.
const REDIS_MAJOR_MIN: u32 = 7;

/// What was found out about a server.
pub(super) struct Found {
    /// What it is, in words.
    pub(super) about: String,
    /// Which of its settings weaken a promise: one sentence each.
    pub(super) warnings: Vec<String>,
}

/// Refuses servers that would break a promise; says what weakens one.
pub(super) async fn check(connection: &Connection) -> Result<Found, HoldsError> {
    let info = connection.call(async |client| client.info::<String>(Some(InfoKind::Server)).await).await;
    let info = info.map_err(|error| error_of(&error))?;
    let of = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let version = of("redis_version").unwrap_or("unknown");
    if version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major < REDIS_MAJOR_MIN)
    {
        return Err(HoldsError::Unsuitable(format!("it is version {version}; at least {REDIS_MAJOR_MIN}.0 is needed")));
    }

    let mut warnings = Vec::new();
    match setting(connection, "maxmemory-policy").await {
        Some(policy) if policy.starts_with("allkeys") => {
            return Err(HoldsError::Unsuitable(format!(
                "its maxmemory-policy is {policy}, which throws live holds away: set it to noeviction"
            )));
        }
        // The others evict keys that expire, and no key of stockhold does.
        Some(_) => {}
        None => warnings.push(
            "CONFIG GET is not allowed: make sure that maxmemory-policy is noeviction and that appendonly is on".into(),
        ),
    }
    let appends = setting(connection, "appendonly").await;
    let saves = setting(connection, "save").await;
    let persistence = match (appends.as_deref(), saves.as_deref()) {
        (Some("yes"), _) => "append-only file",
        (Some(_), Some("")) => "nothing is saved",
        (Some(_), _) => "snapshots",
        (None, _) => "persistence unknown",
    };
    // Valkey tells the version of Redis that it is compatible with as well.
    let product = of("valkey_version").map_or(format!("Redis {version}"), |version| format!("Valkey {version}"));
    let about = format!("{product}, {}, {persistence}", of("redis_mode").unwrap_or("mode unknown"));
    if appends.as_deref() == Some("no") {
        warnings.push(match saves.as_deref() {
            Some("") => "appendonly is off and nothing is saved: all holds are lost when Redis restarts".into(),
            _ => "appendonly is off: holds since the last snapshot are lost when Redis restarts".into(),
        });
    }
    Ok(Found { about, warnings })
}

/// One setting, if the server lets us read it.
async fn setting(connection: &Connection, name: &str) -> Option<String> {
    let settings = connection.call(async |client| client.config_get::<HashMap<String, String>, _>(name).await).await;
    settings.ok()?.remove(name)
}
