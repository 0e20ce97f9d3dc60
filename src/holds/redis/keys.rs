//! The names of the keys. All keys of a location carry the hash tag `{location}`, so that a Redis Cluster keeps them on one node.

use crate::domain::Location;

/// The keys that every script call declares; `holds.lua` builds those of the records itself, `<prefix>:{<location>}:r:<id>`.
pub(super) fn of(prefix: &str, location: &Location) -> Vec<String> {
    ["stock", "held", "deadlines", "unsettled", "synced"]
        .iter()
        .map(|name| format!("{prefix}:{{{location}}}:{name}"))
        .collect()
}
