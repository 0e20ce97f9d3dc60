//! An intent in a queue, with all that it holds until it is answered.

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::circuit_breaker::ProbePermit;
use super::error::LedgerError;
use super::intent::{Intent, Verdict};
use crate::domain::{Location, ReservationId};

/// The answer to a request, once there is one.
pub(super) type Answered = oneshot::Receiver<Result<Verdict, LedgerError>>;

/// One intent in a queue.
pub(super) struct Request {
    pub(super) location: Location,
    pub(super) id: ReservationId,
    pub(super) intent: Intent,
    /// When it was put into the queue.
    pub(super) since: Instant,
    permits: Permits,
    answer: oneshot::Sender<Result<Verdict, LedgerError>>,
}

/// What a request holds until it is answered.
pub(super) struct Permits {
    /// Permits one request to be in the queue.
    pub(super) _queue: OwnedSemaphorePermit,
    /// Keeps the ledger from closing.
    pub(super) _open: TaskTrackerToken,
    /// Permits it to ask a database that is away.
    pub(super) probe: Option<ProbePermit>,
}

impl Request {
    pub(super) fn new(location: Location, id: ReservationId, intent: Intent, permits: Permits) -> (Self, Answered) {
        let (answer, answered) = oneshot::channel();
        (Self { location, id, intent, since: Instant::now(), permits, answer }, answered)
    }

    /// True if it may ask a database that is away.
    pub(super) fn is_probe(&self) -> bool {
        self.permits.probe.is_some()
    }

    pub(super) fn answer(self, answer: Result<Verdict, LedgerError>) {
        // A caller that has its answer may take these permits again at once.
        drop(self.permits);
        // A caller that is gone needs no answer.
        let _ = self.answer.send(answer);
    }
}

/// Answers the same error to all.
pub(super) fn answer_all(requests: impl IntoIterator<Item = Request>, error: &LedgerError) {
    requests.into_iter().for_each(|request| request.answer(Err(error.clone())));
}

#[cfg(test)]
mod tests;
