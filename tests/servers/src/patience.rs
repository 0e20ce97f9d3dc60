//! Waiting for a state, with a bound.

use std::time::{Duration, Instant};

/// How long to wait before looking again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until something is true, and answers how long that took; `None` if it takes longer than `bound`.
pub async fn within(bound: Duration, mut is_true: impl AsyncFnMut() -> bool) -> Option<Duration> {
    let begin = Instant::now();
    loop {
        if is_true().await {
            return Some(begin.elapsed());
        }
        if begin.elapsed() >= bound {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
