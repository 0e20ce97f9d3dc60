//! The names of the keys. All keys of a location carry the hash tag `{location}`, so that a Redis Cluster keeps them on
//! one node.

use crate::domain::Location;

/// The keys that every call declares, all that it touches.
pub(super) fn of(prefix: &str, location: &Location) -> Vec<String> {
    ["stock", "held", "records", "deadlines", "unsettled", "ended", "tombstones", "synced"]
        .iter()
        .map(|name| format!("{prefix}:{{{location}}}:{name}"))
        .collect()
}
