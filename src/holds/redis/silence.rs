//! Connections whose other end acknowledges what it gets and answers nothing, such as a server that was stopped, or a
//! proxy that lost it.
//!
//! TCP takes such a connection for alive. fred's own check for unresponsive connections does not find it either (seen
//! with fred 10.1): every write starts its timer anew, and a function call counts as blocking and is never checked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fred::error::{Error, ErrorKind};
use tokio::sync::Notify;

/// Whether one connection answers.
pub(super) struct Silence {
    patience: Duration,
    /// When the first call began that was not answered in time, if none was answered since.
    since: Mutex<Option<Instant>>,
    is_too_long: Notify,
}

impl Silence {
    /// A silence lasts too long once it is longer than `patience`.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, since: Mutex::default(), is_too_long: Notify::new() }
    }

    /// Makes a call, and notes whether it was answered.
    pub(super) async fn watch<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let begun = Instant::now();
        let result = call.await;
        let is_late = matches!(&result, Err(error) if *error.kind() == ErrorKind::Timeout);
        if self.note(begun, is_late) {
            self.is_too_long.notify_one();
        }
        result
    }

    /// Waits until the silence lasts too long.
    pub(super) async fn is_too_long(&self) {
        self.is_too_long.notified().await;
    }

    /// Whether the silence lasts too long.
    fn note(&self, begun: Instant, is_late: bool) -> bool {
        // The lock guards one value, so a panic cannot leave it half written.
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if is_late {
            since.get_or_insert(begun).elapsed() > self.patience
        } else {
            *since = None;
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_too_long_when_nothing_was_answered_for_longer_than_the_patience() {
        let silence = Silence::new(Duration::from_secs(2));
        let (now, long_ago) = (Instant::now(), Instant::now() - Duration::from_secs(3));
        assert!(!silence.note(now, true), "it has lasted for no time");
        assert!(!silence.note(long_ago, true), "the first call that was late counts");
        assert!(!silence.note(now, false), "an answer ends it");
        assert!(silence.note(long_ago, true), "nothing was answered for long");
        assert!(silence.note(now, true), "it still lasts");
    }
}
