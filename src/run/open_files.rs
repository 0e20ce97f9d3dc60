//! How many files this process may have open. Each connection to a caller or a store is one of them. A process that has
//! none left cannot accept a caller and cannot reach a store. So the number of callers follows from the limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// What a process has besides: logs, signals, the listener, a caller who waits for a place, and some to spare.
const OWN: u64 = 32;

/// SQLite has a database, a log and an index open for each connection; the other stores need one.
const FOR_EACH_DATABASE_CONNECTION: u64 = 3;

/// A connection to Redis may be replaced before the old one is closed.
const FOR_EACH_REDIS_CONNECTION: u64 = 2;

/// With fewer connections of callers there is no point in a service.
const CONNECTIONS_MIN: u64 = 8;

/// Raises the limit as far as this process may, and lowers the number of connections to what is left of it. Fails if
/// that is too few.
pub(super) fn fit(config: &mut Config) -> Result<(), String> {
    let Some(files_max) = raise() else { return Ok(()) };
    let wanted = config.connections.connections_max;
    let besides = besides(config);
    let left = connections(files_max, besides, wanted)?;
    if left < wanted {
        tracing::warn!(
            files_max,
            "--connections-max is {left} instead of {wanted}: this process may have no more files open; raise its \
             limit (ulimit -n, LimitNOFILE=) to {}",
            besides + as_u64(wanted)
        );
        config.connections.connections_max = left;
    }
    Ok(())
}

/// The limit after it was raised; none if there is none.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files cannot be raised");
            current
        }
    }
}

fn besides(config: &Config) -> u64 {
    let redis = config.redis.as_ref().map_or(0, |redis| as_u64(redis.pool_size));
    OWN + FOR_EACH_DATABASE_CONNECTION * u64::from(config.ledger.connections_max) + FOR_EACH_REDIS_CONNECTION * redis
}

fn connections(files_max: u64, besides: u64, wanted: usize) -> Result<usize, String> {
    let left = files_max.saturating_sub(besides);
    if left < CONNECTIONS_MIN.min(as_u64(wanted)) {
        let needed = besides + CONNECTIONS_MIN;
        return Err(format!(
            "this process may have only {files_max} files open, too few for its stores and its callers; raise its \
             limit (ulimit -n, LimitNOFILE=) to {needed} or more"
        ));
    }
    Ok(wanted.min(usize::try_from(left).unwrap_or(usize::MAX)))
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_get_what_the_stores_leave() {
        for (files_max, wanted, left) in [
            (1_000_000, 900, Some(900)),
            (970, 900, Some(900)),
            (969, 900, Some(899)),
            (128, 900, Some(58)),
            (78, 900, Some(8)),
            (77, 900, None),
            (16, 900, None),
            (71, 1, Some(1)),
            (70, 1, None),
        ] {
            assert_eq!(connections(files_max, 70, wanted).ok(), left, "{files_max} files, {wanted} wanted");
        }
    }
}
