//! The calls that run, and what bounds them. Promises:
//! - A call of several steps runs to its end in a task of its own: a caller who hangs up or times out drops only the
//!   wait for the answer. A call of one step ends with its caller, and is never made if it still waits.
//! - At most so many calls run at once, over all connections; one that runs on without its caller still counts. More
//!   are refused, and a connection gets a share (`permits`). While too much waits to be sent, none begins on a
//!   connection for which anything waits (`unsent`). Few pages are made at once (`pages`).
//! - The memory of what calls were sent is bounded, from the first byte on. It is shared in the same way.
//! - No caller waits longer than the earlier of their own deadline and the server's; for Reconcile only their own
//!   counts.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::Either;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tonic::Status;
use tracing::Instrument;

use super::call_id::CallId;
use super::pages::{Pages, Turn};
use super::peer::{Caller, Peer};
use super::permits::{Permit, Permits};
use super::status;

/// The call that takes as long as there is stock to compare: for it only the caller's own deadline counts.
const UNBOUNDED: &str = "/stockhold.v1.StockService/Reconcile";

/// Calls that change at most one thing, in one step: there is nothing to bring to an end. They need no task of their
/// own.
pub(super) const ONE_STEP: [&str; 6] = [
    "/stockhold.v1.ReservationService/Reserve",
    "/stockhold.v1.ReservationService/Extend",
    "/stockhold.v1.ReservationService/GetReservation",
    "/stockhold.v1.ReservationService/ListReservations",
    "/stockhold.v1.StockService/GetStock",
    "/stockhold.v1.StockService/ListStock",
];

/// How long a caller may take to send a request whose headers have arrived.
pub(super) const READ_MAX: Duration = Duration::from_secs(2);

/// What a call counts at least, in bytes: its stream, its task, and a request and an answer of usual size.
const CALL_BYTES_MIN: usize = 4 * 1024;

/// The bounds of calls.
#[derive(Clone, Debug)]
pub struct CallsConfig {
    /// How many may run at once.
    pub concurrency_max: usize,
    /// How much memory what they were sent may take, in bytes.
    pub call_bytes_max: usize,
    /// How long a caller may wait.
    pub deadline_max: Duration,
}

/// All calls that run.
#[derive(Clone, Debug)]
pub struct Calls {
    running: Permits,
    bytes: Permits,
    pages: Pages,
    deadline_max: Duration,
    tasks: TaskTracker,
}

/// The call or stream that carries other calls, as those know it.
#[derive(Clone, Debug)]
pub(super) struct Parent {
    pub(super) id: CallId,
    pub(super) caller: Arc<Caller>,
    /// When its parts are given up, if it has a deadline itself. A tenth of its time is left then, in which its caller
    /// hears of the parts that are done.
    parts_deadline: Option<Instant>,
}

impl Parent {
    pub(super) fn call(id: CallId, caller: Arc<Caller>, wait_max: Duration) -> Self {
        Self { id, caller, parts_deadline: Some(Instant::now() + wait_max - wait_max / 10) }
    }

    pub(super) fn stream(id: CallId, caller: Arc<Caller>) -> Self {
        Self { id, caller, parts_deadline: None }
    }
}

impl Calls {
    /// No calls yet.
    pub fn new(config: &CallsConfig) -> Self {
        Self {
            running: Permits::new(config.concurrency_max),
            bytes: Permits::new(config.call_bytes_max),
            pages: Pages::new(),
            deadline_max: config.deadline_max,
            tasks: TaskTracker::new(),
        }
    }

    /// Waits for the end of every call, also of those whose callers have gone.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Takes the bytes of a call that begins with `request_bytes`.
    pub(super) fn take_bytes(&self, peer: Peer, request_bytes: usize) -> Result<Permit, Status> {
        self.bytes.take(peer, request_bytes.max(CALL_BYTES_MIN)).ok_or_else(status::overloaded)
    }

    /// Begins a call whose request was read. A list waits for its turn, which is held until its page counts as unsent.
    pub(super) async fn begin(&self, rpc: &str, caller: &Caller) -> Result<(Permit, Option<Turn>), Status> {
        let running = self.take_running(caller)?;
        let turn = self.pages.turn(rpc, &caller.page).await;
        if turn.is_some() && !caller.unsent.may_begin() {
            // It could when it began to wait.
            return Err(status::overloaded());
        }
        Ok((running, turn))
    }

    /// Runs a call that came together with others, within the same bounds. Its parent takes the bytes for it, and holds
    /// them until its answer is sent.
    pub(super) async fn run_part<T: Send + 'static>(
        &self,
        rpc: &str,
        parent: &Parent,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Status> {
        let running = self.take_running(&parent.caller)?;
        let deadline = parent.parts_deadline.unwrap_or_else(|| Instant::now() + self.deadline_max);
        let answer = timeout_at(deadline, self.to_its_end(rpc, running, work)).await;
        answer.unwrap_or_else(|_| Err(status::deadline_exceeded()))
    }

    fn take_running(&self, caller: &Caller) -> Result<Permit, Status> {
        if !caller.unsent.may_begin() {
            return Err(status::overloaded());
        }
        self.running.take(caller.peer, 1).ok_or_else(status::overloaded)
    }

    /// Keeps the permits until the work has ended. One step ends with the caller who waits for it. Several begin at
    /// once, in the current span, and go on without their caller.
    ///
    /// It is no `async fn`, which would hold the work twice. Every call copies this future.
    pub(super) fn to_its_end<T: Send + 'static>(
        &self,
        rpc: &str,
        permits: impl Send + 'static,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, Status>> {
        let work = work.map(|answer| {
            drop(permits);
            answer
        });
        let answer = if ONE_STEP.contains(&rpc) {
            Either::Left(self.tasks.track_future(AssertUnwindSafe(work).catch_unwind()).map(Result::ok))
        } else {
            Either::Right(self.tasks.spawn(work.in_current_span()).map(Result::ok))
        };
        // Only a panic is no answer, and the panic hook has logged it in the span of the call.
        answer.map(|answer| answer.ok_or_else(status::panicked))
    }

    /// How long the caller of `rpc` waits at most.
    pub(super) fn wait_max(&self, rpc: &str, headers: &HeaderMap) -> Duration {
        let asked = headers.get("grpc-timeout").and_then(|timeout| grpc_timeout(timeout.to_str().ok()?));
        let max = if rpc == UNBOUNDED { Duration::MAX } else { self.deadline_max };
        asked.unwrap_or(max).min(max)
    }
}

/// Reads the `grpc-timeout` header: up to eight digits and a unit. As tonic does, what is malformed counts as absent.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_of_callers() {
        for (text, nanos) in [
            ("1H", Some(3_600_000_000_000)),
            ("2M", Some(120_000_000_000)),
            ("3S", Some(3_000_000_000)),
            ("4m", Some(4_000_000)),
            ("5u", Some(5_000)),
            ("6n", Some(6)),
            ("99999999H", Some(99_999_999 * 3_600_000_000_000)),
            ("999999999S", None),
            ("", None),
            ("S", None),
            ("+1S", None),
            ("-1S", None),
            ("1", None),
            ("1s", None),
            ("1é", None),
        ] {
            assert_eq!(grpc_timeout(text).map(|timeout| timeout.as_nanos()), nanos, "{text:?}");
        }
    }
}
