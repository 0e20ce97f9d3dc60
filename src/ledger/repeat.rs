//! When a transaction is begun again. Repeating is safe: a key is in the way of what a lost commit may have done, and
//! then that is read.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::LedgerError;
use super::database::{DatabaseError, Failure};

/// Deadlocks are over within milliseconds, so a handful of tries is plenty.
const TRIES_MAX: u32 = 6;

/// For how long a try may be followed by another. It leaves room for a second one after a lock wait that ran into its
/// timeout.
pub(super) const REPEAT_WITHIN: Duration = Duration::from_secs(4);

/// A try that takes longer has lost its server, or asks too much of it: a lock wait ends long before.
const TRY_MAX: Duration = Duration::from_secs(5);

/// The longest pause before the second try; it doubles with each.
const PAUSE_MS: u64 = 10;

/// Runs `work` until it succeeds or fails for a reason that repeating cannot help. No try but the first begins after
/// `until`.
pub(super) async fn repeat<T, F>(until: Instant, mut work: impl FnMut() -> F) -> Result<T, LedgerError>
where
    F: Future<Output = Result<T, LedgerError>>,
{
    let mut tries = 1;
    loop {
        let error = match timeout(TRY_MAX, work()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error,
            Err(_) => silent(TRY_MAX).into(),
        };
        if !error.may_pass() || tries == TRIES_MAX || Instant::now() >= until {
            return Err(error);
        }
        tracing::debug!(tries, cause = ?error, "repeating a transaction");
        // Those who collided must not do so again.
        sleep(Duration::from_millis(fastrand::u64(0..=PAUSE_MS << tries))).await;
        tries += 1;
    }
}

/// The error of a database that says nothing.
pub(super) fn silent(waited: Duration) -> DatabaseError {
    DatabaseError::new(Failure::Silence, format!("no answer within {} s", waited.as_secs()))
}

impl LedgerError {
    /// True if the same transaction may succeed when it is begun again at once.
    fn may_pass(&self) -> bool {
        match self {
            LedgerError::Unavailable(error) => match error.failure {
                Failure::Collision | Failure::Duplicate | Failure::Connection | Failure::Silence => true,
                Failure::NoConnection | Failure::Statement => false,
            },
            LedgerError::Overloaded | LedgerError::Unsuitable(_) | LedgerError::Corrupt(_) => false,
        }
    }

    /// True if what was to be inserted exists already.
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self, LedgerError::Unavailable(error) if error.failure == Failure::Duplicate)
    }

    /// True if what was asked may be the cause, rather than the database being away.
    pub(super) fn may_be_an_offence(&self) -> bool {
        match self {
            LedgerError::Unavailable(error) => match error.failure {
                Failure::Collision | Failure::Duplicate | Failure::Statement | Failure::Silence => true,
                Failure::Connection | Failure::NoConnection => false,
            },
            LedgerError::Corrupt(_) => true,
            LedgerError::Overloaded | LedgerError::Unsuitable(_) => false,
        }
    }

    /// Whether the database is away, so that whatever is asked next would fail too; `None` if this does not tell.
    pub(super) fn absence(&self) -> Option<bool> {
        match self {
            LedgerError::Unavailable(error) => match error.failure {
                Failure::Connection | Failure::NoConnection => Some(true),
                Failure::Silence => None,
                Failure::Collision | Failure::Duplicate | Failure::Statement => Some(false),
            },
            LedgerError::Corrupt(_) => Some(false),
            LedgerError::Overloaded | LedgerError::Unsuitable(_) => None,
        }
    }
}
