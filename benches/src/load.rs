//! Callers: closed, each waiting for its answers, or open, at a fixed rate whatever becomes of the answers.
//!
//! Rates count what ends within the measured span. Latencies of a closed load are those of the same calls. Those of an
//! open one are of all operations that were meant to begin within the span, whenever they end, and count from the time
//! that was meant: a server which stands still is not spared the calls that would have been made meanwhile.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tonic::{Code, Status};

use crate::cell::{Load, Pace, Spans};
use crate::figures::{Figures, Measured, add_latencies, latencies};
use crate::meter::Meter;
use crate::peer::SHORT;
use crate::way::Caller;
use crate::workload::Cart;

/// Connections of an open load: enough for all that a system which falls behind leaves under way.
const OPEN_CALLERS: usize = 8000;

/// After the measured span, whatever is under way ends within this, or hangs.
const FINISH_MAX: Duration = Duration::from_secs(60);

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
    until: Instant,
    load: Load,
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
    fn new(from: Instant, until: Instant, load: Load) -> Self {
        let latencies = Step::ALL.map(|_| latencies());
        let tally =
            Tally { latencies, done: [0; 4], refused: 0, operations: 0, confirmed_ever: 0, errors: BTreeMap::new() };
        Self { from, until, load, tally: Mutex::new(tally) }
    }

    /// Notes the answers to a step of operations, and keeps those that got a yes. What goes wrong counts at any time.
    pub(crate) fn note(
        &self,
        step: Step,
        meant: Instant,
        begin: Instant,
        operations: &mut Vec<Cart>,
        answers: Vec<Result<(), Status>>,
    ) {
        let now = Instant::now();
        let counts = self.is_measured(now);
        let is_timed = match self.load.pace {
            Pace::Closed { .. } => counts,
            Pace::Open { .. } => self.is_measured(meant),
        };
        let took_ns = now.saturating_duration_since(begin).as_nanos() as u64;
        let mut tally = self.tally();
        let mut answers = answers.into_iter();
        operations.retain(|_| {
            let answer = answers.next().unwrap_or_else(|| Err(Status::internal("too few answers")));
            if answer.is_ok() && matches!(step, Step::Confirm) {
                tally.confirmed_ever += 1;
            }
            match &answer {
                Err(status) if !(self.load.workload.may_be_refused() && is_short(status)) => {
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

    fn failed(&self, error: String) {
        *self.tally().errors.entry(error).or_default() += 1;
    }

    fn is_measured(&self, now: Instant) -> bool {
        self.from <= now && now < self.until
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a system on this port under a load. Where something is due at an instant, the measured span begins with it.
///
/// Answers too how many units callers were told to have bought, ever.
pub(crate) async fn measure(
    load: Load,
    port: u16,
    spans: Spans,
    due: Option<Instant>,
    meter: &Meter,
) -> Result<(Measured, u64), Box<dyn Error>> {
    let spans = spans.of(load.pace);
    let callers = match load.pace {
        Pace::Closed { callers } => callers,
        Pace::Open { .. } => OPEN_CALLERS,
    };
    let ends = load.way.open(port, callers).await?;
    if let Some(begin) = due.and_then(|due| due.checked_sub(spans.warm_up)) {
        sleep_until(begin.into()).await;
    }
    let begin = Instant::now();
    let from = begin + spans.warm_up;
    let until = from + spans.measured;
    let notes = Arc::new(Notes::new(from, until, load));
    let work = async {
        match load.pace {
            Pace::Closed { .. } => closed(load, ends, &notes).await,
            Pace::Open { per_second } => open(load, ends, per_second, begin, &notes).await,
        }
    };
    let metered = async {
        sleep_until(from.into()).await;
        let before = meter.read().await?;
        sleep_until(until.into()).await;
        meter.read().await.map(|after| after.since(&before))
    };
    let (metered, finished) = tokio::join!(metered, timeout(until - begin + FINISH_MAX, work));
    if finished.is_err() {
        notes.failed(format!("a caller hangs: no answer within {FINISH_MAX:?}"));
    }
    let tally = notes.tally();
    let mut figures = rates(&tally, spans.measured);
    figures.extend(metered?.figures(tally.operations, tally.done[Step::Confirm as usize]));
    let mut errors = tally.errors.clone();
    if tally.operations == 0 {
        errors.insert("not one operation was done".to_owned(), 1);
    }
    Ok((Measured { figures, errors }, tally.confirmed_ever))
}

async fn closed(load: Load, ends: Vec<Caller>, notes: &Arc<Notes>) {
    let mut callers = JoinSet::new();
    for mut end in ends {
        let notes = notes.clone();
        callers.spawn(async move {
            while Instant::now() < notes.until {
                load.workload.once(&mut end, load, Instant::now(), &notes).await;
            }
        });
    }
    join(callers, notes).await;
}

async fn open(load: Load, ends: Vec<Caller>, per_second: u32, begin: Instant, notes: &Arc<Notes>) {
    // The timers of the runtime know milliseconds only.
    let (sender, mut due) = mpsc::unbounded_channel();
    let (until, pause) = (notes.until, Duration::from_secs(1) / per_second);
    let ticker = move || {
        let times = (0..).map(|number| begin + pause * number).take_while(|time| *time < until);
        for time in times {
            std::thread::sleep(time.saturating_duration_since(Instant::now()));
            if sender.send(time).is_err() {
                return;
            }
        }
    };
    std::thread::spawn(ticker);
    let mut operations = JoinSet::new();
    for end in ends.iter().cycle() {
        let Some(meant) = due.recv().await else { break };
        let (mut end, notes) = (end.clone(), notes.clone());
        operations.spawn(async move { load.workload.once(&mut end, load, meant, &notes).await });
    }
    join(operations, notes).await;
}

async fn join(mut tasks: JoinSet<()>, notes: &Notes) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            notes.failed(format!("a caller broke down: {error}"));
        }
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

/// Without what differs from call to call.
fn describe(step: Step, status: &Status) -> String {
    let message = status.message().split([':', ';']).next().unwrap_or_default();
    format!("{}: {:?}: {message}", step.name(), status.code())
}
