//! The database's clock as this process has seen it. It does not go back by less than [`BACK_MAX_MICROS`], although the
//! database's may: after a failover, or when somebody sets it. So a row that changes later has a later version than a
//! mark that sync set before. It is a hybrid logical clock (Kulkarni and others, 2014): the marks of sync tell an
//! instance what others have seen.

use std::sync::atomic::{AtomicI64, Ordering};

/// A clock that goes back further, in microseconds, was very wrong before. To wait until it is there again would take
/// too long: all that while sync pushes again what has changed since.
const BACK_MAX_MICROS: i64 = 300_000_000;

/// The time that the database told last, in microseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicI64);

impl Clock {
    /// Somebody has seen this time.
    pub(super) fn see(&self, micros: i64) {
        self.0.fetch_max(micros, Ordering::Relaxed);
    }

    /// The time that the database tells now, or a later one that it has told before.
    pub(super) fn now_micros(&self, told_micros: i64) -> i64 {
        let now_micros = |last_micros: i64| match last_micros - told_micros {
            0..=BACK_MAX_MICROS => last_micros,
            _ => told_micros,
        };
        let update = |last_micros| Some(now_micros(last_micros));
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update).map_or(told_micros, now_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_back_only_if_it_was_very_wrong() {
        let clock = Clock::default();
        for (told, now) in [
            (1_000_000_000, 1_000_000_000),
            (1_000_000_001, 1_000_000_001),
            (1_000_000_000, 1_000_000_001),
            (700_000_001, 1_000_000_001),
            (700_000_000, 700_000_000),
            (700_000_001, 700_000_001),
        ] {
            assert_eq!(clock.now_micros(told), now, "{told}");
        }
        for (seen, now) in [(600_000_000, 700_000_001), (800_000_000, 800_000_000), (1_000_000_002, 700_000_001)] {
            clock.see(seen);
            assert_eq!(clock.now_micros(700_000_001), now, "{seen} was seen");
        }
    }
}
