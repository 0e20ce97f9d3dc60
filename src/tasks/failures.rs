//! What the log says of a task whose runs fail: the first failure at once, then a count once in a while, and the end.
//! A store that is away fails hundreds of runs a second, one for each location.

use std::time::Duration;

use humantime::format_duration;
use tokio::time::Instant;

/// How often the count is told while runs fail.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// The failures of one task.
#[derive(Default)]
pub(super) struct Failures(Option<Outage>);

/// Failures with no period without any between them.
struct Outage {
    begun: Instant,
    told: Instant,
    runs: u64,
    /// Whether a run has failed since the present period began, and whether one has succeeded.
    failed: bool,
    succeeded: bool,
}

impl Failures {
    /// Notes that a run has failed. Answers what is to be told, if anything.
    pub(super) fn failed(&mut self, now: Instant) -> Option<String> {
        let Some(outage) = &mut self.0 else {
            self.0 = Some(Outage { begun: now, told: now, runs: 1, failed: true, succeeded: false });
            return Some("a background task fails; it runs again every period".to_owned());
        };
        outage.runs += 1;
        outage.failed = true;
        if now - outage.told < TOLD_EVERY {
            return None;
        }
        outage.told = now;
        Some(format!("a background task still fails: {}", outage.so_far(now)))
    }

    /// Notes that a run has succeeded.
    pub(super) fn succeeded(&mut self) {
        if let Some(outage) = &mut self.0 {
            outage.succeeded = true;
        }
    }

    /// Notes that a period begins. Answers what is to be told if runs have succeeded in the last one and none has
    /// failed.
    pub(super) fn period_begins(&mut self, now: Instant) -> Option<String> {
        let outage = self.0.as_mut()?;
        let (failed, succeeded) = (std::mem::take(&mut outage.failed), std::mem::take(&mut outage.succeeded));
        if failed || !succeeded {
            return None;
        }
        let told = format!("a background task works again: {}", outage.so_far(now));
        self.0 = None;
        Some(told)
    }
}

impl Outage {
    fn so_far(&self, now: Instant) -> String {
        let seconds = Duration::from_secs((now - self.begun).as_secs());
        format!("{} runs failed within {}", self.runs, format_duration(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_told_then_counts_and_then_the_end() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut failures = Failures::default();
        assert_eq!(failures.period_begins(begin), None, "nothing has failed");
        assert!(failures.failed(begin).is_some_and(|line| line.contains("fails;")));
        assert_eq!(failures.failed(after(1)), None);
        assert_eq!(failures.period_begins(after(2)), None, "runs failed in the last period");
        let still = failures.failed(after(31));
        assert_eq!(still.as_deref(), Some("a background task still fails: 3 runs failed within 31s"));
        assert_eq!(failures.failed(after(32)), None);
        assert_eq!(failures.period_begins(after(33)), None);
        assert_eq!(failures.period_begins(after(33)), None, "no run has ended yet");
        failures.succeeded();
        let end = failures.period_begins(after(34));
        assert_eq!(end.as_deref(), Some("a background task works again: 4 runs failed within 34s"));
        assert!(failures.failed(after(35)).is_some_and(|line| line.contains("fails;")), "another outage");
    }
}
