//! Why the service did not start, or did not end well, in words for an operator.

use std::time::Duration;

use crate::ledger::LedgerError;

/// Why the server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The listener has no address.
    #[error("cannot listen")]
    Listen(#[source] std::io::Error),
    /// A store that waiting does not help.
    #[error("{store} cannot be used: {cause}")]
    Unusable {
        /// Which, without secrets.
        store: String,
        /// Why, in words.
        cause: String,
    },
    /// A store that was away for the whole start timeout.
    #[error(
        "{store} is away: {cause}; after {} (--start-timeout) the start gives up: start it, or correct {flag}",
        humantime::format_duration(*timeout)
    )]
    Away {
        /// Which, without secrets.
        store: String,
        /// The last error, in words.
        cause: String,
        /// How long it was waited for.
        timeout: Duration,
        /// The flag that says where it is.
        flag: &'static str,
    },
    /// The database, when it is migrated alone or used by another instance.
    #[error("the database cannot be used")]
    Ledger(#[source] LedgerError),
    /// The descriptors of the build are broken.
    #[error("cannot serve reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// What was still running is left to the recovery of the next start.
    #[error("shutting down took longer than {}", humantime::format_duration(*.0))]
    Grace(Duration),
}
