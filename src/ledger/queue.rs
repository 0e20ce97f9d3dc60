//! Group commit: intents of one location that wait at the same time share a transaction.
//!
//! While one batch of a location commits, its next one gathers; no timer, so a lone intent never waits. Two batches of
//! one location would only wait for each other's locks, so they run one after the other. Batches of different locations
//! run at the same time, first come first served, as many as there are permits.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tokio::sync::{Semaphore, TryAcquireError, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::task::TaskTracker;

use super::batch::Batches;
use super::batch_permits::{BatchPermit, BatchPermits};
use super::circuit_breaker::CircuitBreaker;
use super::database::Capacity;
use super::error::{DatabaseError, Failure, LedgerError};
use super::intent::{Intent, Verdict};
use super::request::{Permits, Request};
use crate::domain::{Lines, Location, ReservationId};

/// The most lines of a batch, where an intent without lines counts as one. One transaction writes so many within a
/// fraction of its time, and they fit into one packet many times over.
const BATCH_LINES_MAX: usize = 1000;

/// How many requests are taken over at a time.
const TAKEN_MAX: usize = 1024;

/// Permits one request to be in a queue. The queue always has room for its holder.
pub struct QueuePermit {
    permits: Permits,
    requests: mpsc::UnboundedSender<Request>,
    breaker: Arc<CircuitBreaker>,
}

impl QueuePermit {
    /// Settles the reservation, or learns how it was settled before. See `Ledger` for what an error means.
    pub async fn settle(self, location: Location, id: ReservationId, intent: Intent) -> Result<Verdict, LedgerError> {
        let permits = Permits { probe: self.breaker.admit()?, ..self.permits };
        let (request, answered) = Request::new(location, id, intent, permits);
        // If the queue has ended the request is dropped, which is noticed below.
        let _ = self.requests.send(request);
        answered.await.unwrap_or_else(|_| {
            Err(DatabaseError::new(Failure::Silence, "the ledger stopped before it answered").into())
        })
    }
}

/// All queues. A location has one, which it may share with others.
pub(super) struct Queues {
    queues: Vec<Queue>,
    permits_held: TaskTracker,
    breaker: Arc<CircuitBreaker>,
}

struct Queue {
    room: Arc<Semaphore>,
    requests: mpsc::UnboundedSender<Request>,
}

impl Queues {
    /// Starts one dispatcher for each queue. It ends when all senders are gone and all requests are answered.
    pub(super) fn start(capacity: Capacity, queue_max: usize, batch_max: usize, batches: &Batches) -> Self {
        let start = |_| {
            let (requests, arriving) = mpsc::unbounded_channel();
            let dispatcher = Dispatcher {
                arriving,
                batches: batches.clone(),
                batch_max,
                permits: BatchPermits::new(capacity.batches_at_once),
                waiting: BTreeMap::new(),
                turns: VecDeque::new(),
                runs: JoinSet::new(),
                running: HashMap::new(),
                slow: BTreeSet::new(),
            };
            tokio::spawn(dispatcher.run());
            Queue { room: Arc::new(Semaphore::new(queue_max.min(Semaphore::MAX_PERMITS))), requests }
        };
        let queues = (0..capacity.queues).map(start).collect();
        Self { queues, permits_held: TaskTracker::new(), breaker: batches.breaker.clone() }
    }

    pub(super) fn permit(&self, location: &Location) -> Result<QueuePermit, LedgerError> {
        let mut hasher = DefaultHasher::new();
        location.hash(&mut hasher);
        let queue = &self.queues[(hasher.finish() % self.queues.len() as u64) as usize];
        // The token comes first, so that a `close` which begins after the permit was taken waits for it.
        let open = self.permits_held.token();
        match queue.room.clone().try_acquire_owned() {
            Ok(permit) => Ok(QueuePermit {
                permits: Permits { _queue: permit, _open: open, probe: None },
                requests: queue.requests.clone(),
                breaker: self.breaker.clone(),
            }),
            Err(TryAcquireError::NoPermits) => Err(LedgerError::Overloaded),
            Err(TryAcquireError::Closed) => {
                Err(DatabaseError::new(Failure::NoConnection, "the ledger is closed").into())
            }
        }
    }

    /// Refuses new permits, and waits until those that were taken are used and answered, or dropped.
    pub(super) async fn close(&self) {
        for queue in &self.queues {
            queue.room.close();
        }
        self.permits_held.close();
        self.permits_held.wait().await;
    }
}

/// Owns one queue.
struct Dispatcher {
    arriving: mpsc::UnboundedReceiver<Request>,
    batches: Batches,
    batch_max: usize,
    permits: BatchPermits,
    /// What gathers, of every location that is running or has its turn.
    waiting: BTreeMap<Location, VecDeque<Request>>,
    /// The locations to run next, first come first served.
    turns: VecDeque<Location>,
    /// Each run answers its batch, and tells whether it was slow.
    runs: JoinSet<bool>,
    running: HashMap<Id, Location>,
    /// The locations whose last batch was slow. The next one most likely is too.
    slow: BTreeSet<Location>,
}

impl Dispatcher {
    async fn run(mut self) {
        let mut taken = Vec::new();
        loop {
            tokio::select! {
                // What has arrived is gathered before the next batch is made.
                biased;
                Some(ended) = self.runs.join_next_with_id() => self.ended(ended),
                1.. = self.arriving.recv_many(&mut taken, TAKEN_MAX) => {
                    taken.drain(..).for_each(|request| self.gather(request));
                }
                permit = self.permits.acquire(), if !self.turns.is_empty() => self.start_run(permit),
                else => return,
            }
        }
    }

    fn gather(&mut self, request: Request) {
        let waiting = self.waiting.entry(request.location.clone()).or_insert_with_key(|location| {
            self.turns.push_back(location.clone());
            VecDeque::new()
        });
        waiting.push_back(request);
    }

    fn start_run(&mut self, permit: BatchPermit) {
        let Some(location) = self.turns.pop_front() else { return };
        let Some(waiting) = self.waiting.get_mut(&location) else { return };
        let batch = next_batch(waiting, self.batch_max);
        if batch.is_empty() {
            self.waiting.remove(&location);
            return;
        }
        let tries = self.permits.tries((!self.slow.contains(&location)).then_some(permit));
        let (batches, at) = (self.batches.clone(), location.clone());
        let run = self.runs.spawn(async move {
            batches.settle(&at, batch, &tries).await;
            tries.were_slow()
        });
        self.running.insert(run.id(), location);
    }

    fn ended(&mut self, ended: Result<(Id, bool), JoinError>) {
        let (id, was_slow) = ended.unwrap_or_else(|panicked| {
            tracing::error!(cause = %panicked, "a batch was not answered");
            (panicked.id(), false)
        });
        if let Some(location) = self.running.remove(&id) {
            match was_slow {
                true => self.slow.insert(location.clone()),
                false => self.slow.remove(&location),
            };
            self.turns.push_back(location);
        }
    }
}

/// Takes what fits into one transaction, in order of arrival.
fn next_batch(waiting: &mut VecDeque<Request>, batch_max: usize) -> Vec<Request> {
    let fits = fits(waiting.iter().map(|request| request.intent.lines().map_or(1, Lines::len)), batch_max);
    waiting.drain(..fits).collect()
}

/// How many of these intents, of so many lines each, make a batch.
fn fits(lines: impl ExactSizeIterator<Item = usize>, batch_max: usize) -> usize {
    let at_least = lines.len().min(1);
    let mut sum = 0;
    let within = |lines: &usize| {
        sum += lines;
        sum <= BATCH_LINES_MAX
    };
    lines.take(batch_max).take_while(within).count().max(at_least)
}

#[cfg(test)]
mod tests;
