//! When callers begin their operations, and for how long they are measured.

use std::fmt;
use std::time::Duration;

/// When the next operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// This many callers, each of which begins an operation when its last one has ended.
    Closed { callers: usize },
    /// This many operations a second, however long the others take. Latency counts from the meant time.
    Open { per_second: u32 },
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { callers } => write!(f, "x{callers}"),
            Self::Open { per_second } => write!(f, "{per_second}/s"),
        }
    }
}

/// How long a cell is warmed up, and then measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spans {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// With more callers than this it takes longer until each has an answer.
const CALLERS_USUAL_MAX: usize = 1024;

impl Spans {
    /// The spans for this pace: twice as long for very many callers.
    pub(crate) fn of(self, pace: Pace) -> Self {
        match pace {
            Pace::Closed { callers } if callers > CALLERS_USUAL_MAX => {
                Self { warm_up: 2 * self.warm_up, measured: 2 * self.measured }
            }
            Pace::Closed { .. } | Pace::Open { .. } => self,
        }
    }
}
