//! Bounds lines of the log that callers, or a store that is away, could cause without end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A number of lines in each period. Lines beyond it are omitted and counted, and the next line tells the count.
#[derive(Debug)]
pub struct Ration {
    lines_max: u64,
    period: Duration,
    /// None before the first line.
    state: Mutex<Option<State>>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    since: Instant,
    lines: u64,
    omitted: u64,
}

impl Ration {
    /// At most `lines_max` lines each `period`.
    pub const fn new(lines_max: u64, period: Duration) -> Self {
        Self { lines_max, period, state: Mutex::new(None) }
    }

    /// Whether one more line may be written. If so: how many were left out since the last one.
    pub fn take(&self) -> Option<u64> {
        let now = Instant::now();
        // Nothing that can panic is done under the lock.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = state.get_or_insert(State { since: now, lines: 0, omitted: 0 });
        if now.duration_since(state.since) >= self.period {
            state.since = now;
            state.lines = 0;
        }
        if state.lines < self.lines_max {
            state.lines += 1;
            Some(std::mem::take(&mut state.omitted))
        } else {
            state.omitted += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_beyond_the_bound_are_counted() {
        const PERIOD: Duration = Duration::from_secs(10);
        let ration = Ration::new(2, PERIOD);
        let five = || [(); 5].map(|()| ration.take());
        assert_eq!(five(), [Some(0), Some(0), None, None, None]);
        tokio::time::advance(PERIOD).await;
        assert_eq!(five(), [Some(3), Some(0), None, None, None]);
        tokio::time::advance(3 * PERIOD).await;
        assert_eq!(ration.take(), Some(3));
    }
}
