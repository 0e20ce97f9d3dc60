//! The log says that the holds' store has lost data, because live holds are lost with it and nothing else shows that.
//!
//! The mark of sync tells: it is kept in the holds' store and only grows. A mark that is gone, or that is far older
//! than the one this instance has seen, means that the store was emptied or rewound. Each location gets one line for
//! each event. When many locations are hit, the first few get lines of their own, and a summary counts the rest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::Location;

/// For how long the locations that are hit by one event are counted together.
const EVENT: Duration = Duration::from_secs(10);

/// How many locations get a line of their own in that time.
const LINES_MAX: usize = 5;

/// Marks of different instances may differ by so much although nothing was lost, in microseconds: the database's clock
/// may have been set back.
const TOLERANCE_MICROS: i64 = 30_000_000;

/// What this instance knows of the marks.
#[derive(Default)]
pub(super) struct Losses(Mutex<State>);

#[derive(Default)]
struct State {
    marks: HashMap<Location, i64>,
    event: Option<Event>,
}

struct Event {
    since: Instant,
    locations: usize,
    /// Of those that get no line of their own.
    registers_missing: usize,
}

/// What became of the data of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Everything is gone.
    Emptied,
    /// The store went back by so many seconds.
    Rewound(i64),
}

impl Losses {
    /// What the mark says that was found in the store, before its registers are compared.
    pub(super) fn judge(&self, location: &Location, found: Option<i64>) -> Option<Loss> {
        let seen = self.with(|state| state.marks.get(location).copied())?;
        match found {
            None => Some(Loss::Emptied),
            Some(found) if found < seen - TOLERANCE_MICROS => Some(Loss::Rewound((seen - found) / 1_000_000)),
            Some(_) => None,
        }
    }

    /// Remembers the mark as it stands after a sync.
    pub(super) fn see(&self, location: &Location, mark: i64) {
        self.with(|state| {
            state.marks.insert(location.clone(), mark);
        });
    }

    /// Logs a loss, with the number of registers that sync had to push.
    pub(super) fn log(&self, location: &Location, loss: Loss, registers_missing: usize) {
        let has_line = self.with(|state| {
            let event = state.event.get_or_insert(Event { since: Instant::now(), locations: 0, registers_missing: 0 });
            event.locations += 1;
            let has_line = event.locations <= LINES_MAX;
            if !has_line {
                event.registers_missing += registers_missing;
            }
            has_line
        });
        let location = location.as_str();
        match loss {
            _ if !has_line => {}
            Loss::Emptied => tracing::warn!(
                location,
                registers_missing,
                "the holds' store was emptied: all holds of this location are lost; confirms of them answer \
                 RESERVATION_NOT_FOUND"
            ),
            Loss::Rewound(by_seconds) => tracing::warn!(
                location,
                registers_missing,
                by_seconds,
                "the holds' store was rewound: holds and extensions of that time are lost"
            ),
        }
    }

    /// Logs the summary of an event that is over.
    pub(super) fn log_summary(&self) {
        let is_over = |event: &mut Event| event.since.elapsed() >= EVENT;
        let Some(event) = self.with(|state| state.event.take_if(is_over)) else { return };
        if event.locations > LINES_MAX {
            tracing::warn!(
                locations = event.locations - LINES_MAX,
                registers_missing = event.registers_missing,
                "the holds' store lost the holds of further locations"
            );
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
