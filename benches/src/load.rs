//! Callers: closed, each waiting for its answers, or open, at a fixed rate whatever becomes of the answers.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::cell::Load;
use crate::figures::Measured;
use crate::meter::Meter;
use crate::notes::Notes;
use crate::pace::{Pace, Spans};
use crate::way::Caller;

/// Connections of an open load. They carry all calls that are under way when a system falls behind.
const OPEN_CALLERS: usize = 8000;

/// How long after the measured span a call that is under way may take to end; then it hangs.
const FINISH_MAX: Duration = Duration::from_secs(60);

/// Puts a system on this port under a load. If holds expire at an instant, the measured span begins with it.
///
/// Also answers how many units callers were told to have bought, ever.
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
    let is_open = matches!(load.pace, Pace::Open { .. });
    let notes = Arc::new(Notes::new(from, until, is_open, load.workload.may_be_refused()));
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
    Ok(notes.measured(&metered?))
}

async fn closed(load: Load, ends: Vec<Caller>, notes: &Arc<Notes>) {
    let mut callers = JoinSet::new();
    for mut end in ends {
        let notes = notes.clone();
        callers.spawn(async move {
            while Instant::now() < notes.until {
                load.workload.once(&mut end, load.shape, load.way.group(), Instant::now(), &notes).await;
            }
        });
    }
    join(callers, notes).await;
}

async fn open(load: Load, ends: Vec<Caller>, per_second: u32, begin: Instant, notes: &Arc<Notes>) {
    // The timers of the runtime have a resolution of a millisecond, which is too coarse.
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
        operations
            .spawn(async move { load.workload.once(&mut end, load.shape, load.way.group(), meant, &notes).await });
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
