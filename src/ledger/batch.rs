//! Settling one batch: intents of one location that share a transaction. Nobody is answered before the commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::LedgerError;
use super::commit::commit;
use super::database::{Database, DatabaseError, Failure};
use super::lanes::Turn;
use super::queue::Request;
use super::repeat::{REPEAT_WITHIN, repeat, silent};
use crate::domain::Location;

/// No try begins for an intent that has waited for longer. With the wait for a lock that the last try may run into, its
/// caller has an answer after about ten seconds, however long somebody keeps a row locked.
const TRY_WITHIN: Duration = Duration::from_secs(8);

/// Several intents are repeated for this time only: after one lock wait it is better to halve them than to let all of
/// them wait again.
const REPEAT_SEVERAL_WITHIN: Duration = Duration::from_secs(1);

/// What a batch tells those who waited behind it: they would only find the same.
pub(super) struct FoundAway {
    /// Whoever came later may find something else.
    pub(super) since: Instant,
    pub(super) error: LedgerError,
}

/// Settles batches.
#[derive(Clone)]
pub(super) struct Batches {
    pub(super) database: Arc<dyn Database>,
    /// Known before anybody is answered.
    pub(super) absence: Arc<Absence>,
}

/// Whether the database was away when it was last asked. Who asks it then waits for a connection, so only one at a time
/// does, to see whether it is back; the others are told at once.
pub(super) struct Absence {
    away: AtomicBool,
    probe: Arc<Semaphore>,
}

impl Default for Absence {
    fn default() -> Self {
        Self { away: AtomicBool::new(false), probe: Arc::new(Semaphore::new(1)) }
    }
}

impl Absence {
    /// Leave to ask the database; with it, while the database is away, the probe to hold until the answer.
    pub(super) fn may_ask(&self) -> Result<Option<OwnedSemaphorePermit>, LedgerError> {
        if !self.away.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match self.probe.clone().try_acquire_owned() {
            Ok(probe) => Ok(Some(probe)),
            Err(_) => Err(DatabaseError::new(Failure::NoConnection, "the database was away a moment ago").into()),
        }
    }

    pub(super) fn learn(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }
}

impl Batches {
    /// Commits a batch, and if it keeps failing its halves, until an offender stands alone. Answers all of it.
    pub(super) async fn settle(&self, location: &Location, batch: Vec<Request>, turn: &Turn) -> Option<FoundAway> {
        let mut groups = VecDeque::from([batch]);
        // Halves of the same size go first, so that the innocent half does not wait for the other one.
        while let Some(group) = groups.pop_front() {
            let (mut group, late): (Vec<_>, Vec<_>) =
                group.into_iter().partition(|request| request.since.elapsed() < TRY_WITHIN);
            answer_all(late, &silent(TRY_WITHIN).into());
            let Some(oldest) = group.first() else { continue };
            let within = if group.len() > 1 { REPEAT_SEVERAL_WITHIN } else { REPEAT_WITHIN };
            let until = (Instant::now() + within).min(oldest.since + TRY_WITHIN);
            let intents: Vec<_> = group.iter().map(|request| (&request.id, &request.intent)).collect();
            let error = match repeat(until, || turn.run(commit(&*self.database, location, &intents))).await {
                Ok(verdicts) => {
                    self.absence.learn(false);
                    group.into_iter().zip(verdicts).for_each(|(request, verdict)| request.answer(Ok(verdict)));
                    continue;
                }
                Err(error) => error,
            };
            let since = Instant::now();
            let away = error.absence();
            if let Some(away) = away {
                self.absence.learn(away);
            }
            if group.len() > 1 && error.may_be_an_offence() {
                let second = group.split_off(group.len() / 2);
                groups.extend([group, second]);
                continue;
            }
            tracing::warn!(location = location.as_str(), intents = group.len(), cause = ?error, "a batch was given up");
            answer_all(group, &error);
            if away == Some(true) {
                answer_all(groups.into_iter().flatten(), &error);
                return Some(FoundAway { since, error });
            }
        }
        None
    }
}

/// Answers the same error to all.
pub(super) fn answer_all(requests: impl IntoIterator<Item = Request>, error: &LedgerError) {
    requests.into_iter().for_each(|request| request.answer(Err(error.clone())));
}
