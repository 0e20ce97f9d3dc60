//! What callers record of their calls: how many ended, how long they took, what went wrong.
//!
//! Rates count what ends within the measured span. Latencies of a closed load are those of the same calls. Those of an
//! open load are of all operations that were meant to begin within the span, whenever they end. They count from the
//! meant time, so that a server that stalls is charged for the calls that it delayed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tonic::{Code, Status};

use crate::figures::{Figures, Measured, add_latencies, latencies};
use crate::meter::Reading;
use crate::peer::SHORT;

/// A kind of call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Reserve,
    Confirm,
    Extend,
    Cancel,
}

impl Step {
    const ALL: [Self; 4] = [Self::Reserve, Self::Confirm, Self::Extend, Self::Cancel];

    fn name(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Confirm => "confirm",
            Self::Extend => "extend",
            Self::Cancel => "cancel",
        }
    }

    fn rate(self) -> &'static str {
        match self {
            Self::Reserve => "accepted_per_s",
            Self::Confirm => "confirmed_per_s",
            Self::Extend => "extended_per_s",
            Self::Cancel => "cancelled_per_s",
        }
    }
}

/// What callers of one cell note.
pub(crate) struct Notes {
    from: Instant,
    pub(crate) until: Instant,
    is_open: bool,
    may_be_refused: bool,
    tally: Mutex<Tally>,
}

struct Tally {
    latencies: [Histogram<u64>; 4],
    done: [u64; 4],
    refused: u64,
    operations: u64,
    /// At any time, not only in the measured span.
    confirmed_ever: u64,
    errors: BTreeMap<String, u64>,
}

impl Notes {
    /// Notes of a span. In an open load an operation is timed if it was meant to begin within the span. Refusals for
    /// want of stock are errors unless they may occur.
    pub(crate) fn new(from: Instant, until: Instant, is_open: bool, may_be_refused: bool) -> Self {
        let latencies = Step::ALL.map(|_| latencies());
        let tally =
            Tally { latencies, done: [0; 4], refused: 0, operations: 0, confirmed_ever: 0, errors: BTreeMap::new() };
        Self { from, until, is_open, may_be_refused, tally: Mutex::new(tally) }
    }

    /// Notes the answers to a step of operations, and keeps those that got a yes. What goes wrong counts at any time.
    pub(crate) fn note<T>(
        &self,
        step: Step,
        meant: Instant,
        begin: Instant,
        operations: &mut Vec<T>,
        answers: Vec<Result<(), Status>>,
    ) {
        let now = Instant::now();
        let counts = self.is_measured(now);
        let is_timed = if self.is_open { self.is_measured(meant) } else { counts };
        let took_ns = now.saturating_duration_since(begin).as_nanos() as u64;
        let mut tally = self.tally();
        let mut answers = answers.into_iter();
        operations.retain(|_| {
            let answer = answers.next().unwrap_or_else(|| Err(Status::internal("too few answers")));
            if answer.is_ok() && matches!(step, Step::Confirm) {
                tally.confirmed_ever += 1;
            }
            match &answer {
                Err(status) if !(self.may_be_refused && is_short(status)) => {
                    *tally.errors.entry(describe(step, status)).or_default() += 1;
                    return false;
                }
                _ if !counts => {}
                Ok(()) => tally.done[step as usize] += 1,
                Err(_) => {
                    tally.refused += 1;
                    tally.operations += 1;
                }
            }
            if is_timed {
                tally.latencies[step as usize].saturating_record(took_ns);
            }
            answer.is_ok()
        });
    }

    /// Notes that whole operations succeeded.
    pub(crate) fn finished(&self, operations: u64) {
        if self.is_measured(Instant::now()) {
            self.tally().operations += operations;
        }
    }

    /// Notes that something went wrong beside a call.
    pub(crate) fn failed(&self, error: String) {
        *self.tally().errors.entry(error).or_default() += 1;
    }

    fn is_measured(&self, now: Instant) -> bool {
        self.from <= now && now < self.until
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the notes and the meter come to, and how many units callers were told to have bought, ever.
    pub(crate) fn measured(&self, metered: &Reading) -> (Measured, u64) {
        let tally = self.tally();
        let mut figures = rates(&tally, self.until - self.from);
        figures.extend(metered.figures(tally.operations, tally.done[Step::Confirm as usize]));
        let mut errors = tally.errors.clone();
        if tally.operations == 0 {
            errors.insert("not one operation was done".to_owned(), 1);
        }
        (Measured { figures, errors }, tally.confirmed_ever)
    }
}

fn rates(tally: &Tally, measured: Duration) -> Figures {
    let per_second = |count: u64| count as f64 / measured.as_secs_f64();
    let mut figures = Figures::new();
    figures.insert("operations_per_s".to_owned(), per_second(tally.operations));
    figures.insert("refused_per_s".to_owned(), per_second(tally.refused));
    for step in Step::ALL {
        figures.insert(step.rate().to_owned(), per_second(tally.done[step as usize]));
        add_latencies(&mut figures, step.name(), &tally.latencies[step as usize]);
    }
    figures.retain(|name, value| !name.ends_with("_per_s") || *value > 0.0);
    figures
}

/// The details of an error would cost the load generator more than they tell.
fn is_short(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition && status.message().starts_with(SHORT)
}

/// The message without the parts that differ from call to call.
fn describe(step: Step, status: &Status) -> String {
    let message = status.message().split([':', ';']).next().unwrap_or_default();
    format!("{}: {:?}: {message}", step.name(), status.code())
}
