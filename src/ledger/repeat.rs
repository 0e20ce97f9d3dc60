//! When a call of the database is given up, and when it is made again. Repeating a transaction is safe: what a lost
//! commit wrote is in the way of its repetition as a duplicate key, and is read then.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::error::{DatabaseError, LedgerError};
use crate::telemetry::chain;

/// How long a call waits for a connection, a new one included.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Deadlocks are over within milliseconds, so a handful of tries is plenty.
const TRIES_MAX: u32 = 6;

/// No try begins later than this. It leaves room for a second try after a lock wait that ran into its timeout.
pub(super) const REPEAT_WITHIN: Duration = Duration::from_secs(4);

/// A try that takes longer has lost its server, or asks too much of it. A lock wait ends long before.
pub(super) const TRY_MAX: Duration = Duration::from_secs(5);

/// The longest pause before the second try; it doubles with each.
const PAUSE_MS: u64 = 10;

/// Runs `work` until it succeeds or fails for a reason that repeating cannot help. Only the first try may begin after
/// `until`.
pub(super) async fn repeat<T, F>(until: Instant, mut work: impl FnMut() -> F) -> Result<T, LedgerError>
where
    F: Future<Output = Result<T, LedgerError>>,
{
    let mut tries = 1;
    loop {
        let error = match within(TRY_MAX, work()).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if !error.may_pass() || tries == TRIES_MAX || Instant::now() >= until {
            return Err(error);
        }
        tracing::debug!(tries, failure = ?error.failure(), cause = chain(&error), "repeating a transaction");
        // Those that collided must not collide again.
        sleep(Duration::from_millis(fastrand::u64(0..=PAUSE_MS << tries))).await;
        tries += 1;
    }
}

/// Gives `work` up after `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, LedgerError>>,
) -> Result<T, LedgerError> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(DatabaseError::silence(limit).into()))
}
