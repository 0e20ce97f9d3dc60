//! Settling one batch: intents of one location that share a transaction. No request is answered before the commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::batch_permits::Tries;
use super::circuit_breaker::CircuitBreaker;
use super::clock::Clock;
use super::commit::commit;
use super::database::Database;
use super::error::DatabaseError;
use super::repeat::{REPEAT_WITHIN, repeat};
use super::request::{Request, answer_all};
use crate::domain::Location;
use crate::telemetry::chain;

/// No try begins for a request that has waited for longer. The last try may run into one more lock wait, so the caller
/// has an answer after about ten seconds, however long another client keeps a row locked.
const TRY_WITHIN: Duration = Duration::from_secs(8);

/// Several intents are repeated for this time only: after one lock wait it is better to halve them than to let all of
/// them wait again.
const REPEAT_SEVERAL_WITHIN: Duration = Duration::from_secs(1);

/// Settles batches.
#[derive(Clone)]
pub(super) struct Batches {
    pub(super) database: Arc<dyn Database>,
    /// It learns of every outcome before the requests are answered.
    pub(super) breaker: Arc<CircuitBreaker>,
    pub(super) clock: Arc<Clock>,
}

impl Batches {
    /// Commits a batch, and if it keeps failing its halves, until an offender stands alone. Answers all of it.
    pub(super) async fn settle(&self, location: &Location, batch: Vec<Request>, tries: &Tries) {
        let mut groups = VecDeque::from([batch]);
        // Halves of the same size go first, so that the innocent half does not wait for the other one.
        while let Some(group) = groups.pop_front() {
            let mut group = self.answer_hopeless(group);
            let Some(oldest) = group.first() else { continue };
            let within = if group.len() > 1 { REPEAT_SEVERAL_WITHIN } else { REPEAT_WITHIN };
            let until = (Instant::now() + within).min(oldest.since + TRY_WITHIN);
            let intents: Vec<_> = group.iter().map(|request| (&request.id, &request.intent)).collect();
            let settle = || tries.run(commit(&*self.database, &self.clock, location, &intents));
            let error = match repeat(until, settle).await {
                Ok(verdicts) => {
                    self.breaker.close();
                    group.into_iter().zip(verdicts).for_each(|(request, verdict)| request.answer(Ok(verdict)));
                    continue;
                }
                Err(error) => error,
            };
            self.breaker.learn(&error);
            if group.len() > 1 && error.may_be_an_offence() {
                let second = group.split_off(group.len() / 2);
                groups.extend([group, second]);
                continue;
            }
            tracing::warn!(
                location = location.as_str(),
                intents = group.len(),
                failure = ?error.failure(),
                cause = chain(&error),
                "a batch was given up"
            );
            answer_all(group, &error);
        }
    }

    /// Answers the requests that are not worth a try, and returns the others: those that have waited for too long, and
    /// while the database is away all but the probe.
    fn answer_hopeless(&self, group: Vec<Request>) -> Vec<Request> {
        let (group, late): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|request| request.since.elapsed() < TRY_WITHIN);
        answer_all(late, &DatabaseError::silence(TRY_WITHIN).into());
        let Some(error) = self.breaker.error() else { return group };
        let (probe, others): (Vec<_>, Vec<_>) = group.into_iter().partition(Request::is_probe);
        answer_all(others, &error);
        probe
    }
}
