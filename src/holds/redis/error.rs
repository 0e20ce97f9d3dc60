//! What an error of fred means for a call: whether it was executed, may have been, or never will be.

use fred::error::{Error, ErrorKind};
use fred::types::config::ReconnectError;

use crate::holds::HoldsError;

/// Errors that the server answers before it executes anything.
const REFUSED_BEFORE_EXECUTION: [&str; 8] =
    ["ASK", "BUSY", "MISCONF", "MOVED", "NOAUTH", "NOPERM", "NOREPLICAS", "TRYAGAIN"];

/// Errors upon which fred drops the connection. It answers them to every call that was on its way over the connection,
/// so the outcome of those calls is unknown.
pub(super) const DROPS_THE_CONNECTION: [(&str, ReconnectError); 4] = [
    ("CLUSTERDOWN", ReconnectError::ClusterDown),
    ("LOADING", ReconnectError::Loading),
    ("MASTERDOWN", ReconnectError::MasterDown),
    ("READONLY", ReconnectError::ReadOnly),
];

/// Errors of fred that have no kind of their own, about calls that were not written to any connection: it was lost a
/// moment before, or its client has been replaced.
const NEVER_WRITTEN: [&str; 2] = ["Failed to route command.", "Failed to send command to router."];

/// What fred answers to a call that was on its way over a connection which was replaced. It may have been executed.
const NOT_WRITTEN_AGAIN: &str = "Too many failed write attempts.";

/// What an error means for the call.
///
/// A redirection of a Redis Cluster (`ASK`, `MOVED`) is a routing error, "Too many redirections.", because no
/// redirection is followed. The node that answered it executed nothing.
pub(super) fn error_of(error: &Error) -> HoldsError {
    let details = error.details();
    let begins_with = |word: &str| details.split(' ').next() == Some(word);
    match error.kind() {
        _ if begins_with("OOM") => HoldsError::Full,
        _ if REFUSED_BEFORE_EXECUTION.iter().any(|word| begins_with(word)) => HoldsError::Unavailable(words(error)),
        _ if DROPS_THE_CONNECTION.iter().any(|(word, _)| begins_with(word)) => HoldsError::OutcomeUnknown(words(error)),
        _ if NEVER_WRITTEN.contains(&details) => HoldsError::Unavailable(words(error)),
        _ if details == NOT_WRITTEN_AGAIN => HoldsError::OutcomeUnknown(words(error)),
        ErrorKind::Backpressure | ErrorKind::Routing | ErrorKind::Auth => HoldsError::Unavailable(words(error)),
        ErrorKind::IO
        | ErrorKind::Timeout
        | ErrorKind::Canceled
        | ErrorKind::Tls
        | ErrorKind::Cluster
        | ErrorKind::Sentinel => HoldsError::OutcomeUnknown(words(error)),
        // fred has this kind for what a server answers, and for what it cannot tell itself, such as a closed channel.
        ErrorKind::Unknown if !is_reply(details) => HoldsError::OutcomeUnknown(words(error)),
        _ => HoldsError::Corrupt(words(error)),
    }
}

/// What an error means at the start. Waiting does not mend missing rights, so the store does not count as away.
pub(super) fn at_start(error: HoldsError) -> HoldsError {
    match error {
        HoldsError::Unavailable(words) if matches!(words.split(' ').next(), Some("NOAUTH" | "NOPERM")) => {
            HoldsError::Unsuitable(words)
        }
        error => error,
    }
}

/// Why there is no connection at the start.
pub(super) fn why_not_connected(error: &Error) -> HoldsError {
    match error.kind() {
        ErrorKind::Auth | ErrorKind::Config | ErrorKind::Url | ErrorKind::Tls => HoldsError::Unsuitable(words(error)),
        _ => HoldsError::Unavailable(words(error)),
    }
}

/// What an error says. fred writes errors of the system in the debug form of Rust, with their words in quotes.
pub(super) fn words(error: &Error) -> String {
    let details = error.details();
    let quoted = details.split_once('"').and_then(|(_, after)| after.rsplit_once('"'));
    match quoted {
        Some((words, _)) if details.starts_with("Os {") || details.starts_with("Custom {") => words.to_owned(),
        _ => details.to_owned(),
    }
}

/// An error that a server answered begins with its code, in capitals.
fn is_reply(details: &str) -> bool {
    let code = details.split(' ').next().unwrap_or_default();
    !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase())
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
            (ErrorKind::Routing, "Too many redirections.", "not executed"),
            (ErrorKind::Unknown, "Failed to route command.", "not executed"),
            (ErrorKind::Unknown, "Failed to send command to router.", "not executed"),
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
    #[test]
    fn errors_of_the_system_are_told_in_their_words() {
        let lookup = std::io::Error::other("failed to lookup address information");
        for (error, told) in [
            (std::io::Error::from_raw_os_error(111), "Connection refused"),
            (lookup, "failed to lookup address information"),
        ] {
            assert_eq!(words(&Error::from(error)), told);
        }
        assert_eq!(words(&Error::new(ErrorKind::Unknown, "ERR wrong \"argument\"")), "ERR wrong \"argument\"");
    }
}
