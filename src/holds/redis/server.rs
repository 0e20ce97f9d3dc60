//! Which servers will do: those that would break a promise are refused, and what weakens one is said.

use std::collections::HashMap;

use fred::interfaces::{ClientLike, ConfigInterface};
use fred::types::InfoKind;

use super::HoldsError;
use super::connection::Connection;
use super::error::error_of;

/// The oldest server that knows the functions this service needs, and their flags.
const REDIS_MAJOR_MIN: u32 = 7;

/// Refuses servers that would break a promise; says what weakens one.
pub(super) async fn check(connection: &Connection) -> Result<Vec<String>, HoldsError> {
    let info = connection.call(async |client| client.info::<String>(Some(InfoKind::Server)).await).await;
    let info = info.map_err(|error| error_of(&error))?;
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown").trim();
    if version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major < REDIS_MAJOR_MIN)
    {
        return Err(HoldsError::Unsuitable(format!("it is version {version}, at least {REDIS_MAJOR_MIN}.0 is needed")));
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
    if appends.as_deref() == Some("no") {
        warnings.push(match saves.as_deref() {
            Some("") => "appendonly is off and nothing is saved: all holds are lost when Redis restarts".into(),
            _ => "appendonly is off: holds since the last snapshot are lost when Redis restarts".into(),
        });
    }
    Ok(warnings)
}

/// One setting, if the server lets us read it.
async fn setting(connection: &Connection, name: &str) -> Option<String> {
    let settings = connection.call(async |client| client.config_get::<HashMap<String, String>, _>(name).await).await;
    settings.ok()?.remove(name)
}
