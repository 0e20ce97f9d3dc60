//! Group commit: intents of one location that wait at the same time share a transaction.
//!
//! While one batch of a location commits, its next one gathers; no timer, so a lone intent never waits. Two batches of
//! one location would only wait for each other's locks, so they run one after the other; batches of different locations
//! run at the same time, in turn, as many as there are lanes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::batch::{Absence, Batches, FoundAway, answer_all};
use super::database::{Capacity, DatabaseError, Failure};
use super::lanes::{Lane, Lanes};
use super::{Intent, LedgerError, Verdict};
use crate::domain::{Lines, Location, ReservationId};

/// The most lines of a batch, where an intent without lines counts as one: what one transaction writes within a
/// fraction of its time, and what fits into one packet many times over.
const BATCH_LINES_MAX: usize = 1000;

/// One intent in a queue.
pub(super) struct Request {
    pub(super) location: Location,
    pub(super) id: ReservationId,
    pub(super) intent: Intent,
    pub(super) since: Instant,
    answer: oneshot::Sender<Result<Verdict, LedgerError>>,
    slot: Slot,
    probe: Option<OwnedSemaphorePermit>,
}

impl Request {
    pub(super) fn answer(self, answer: Result<Verdict, LedgerError>) {
        // Whoever has the answer may rely on the place being free, and on being the next to ask a database that is
        // away.
        drop((self.slot, self.probe));
        // A caller who has gone needs no answer.
        let _ = self.answer.send(answer);
    }
}

/// Given back when it is dropped.
struct Slot {
    _permit: OwnedSemaphorePermit,
    _token: TaskTrackerToken,
}

/// A place in a queue: whoever has it will be heard.
pub struct Place {
    slot: Slot,
    requests: mpsc::UnboundedSender<Request>,
    absence: Arc<Absence>,
}

impl Place {
    /// Settles the reservation, or learns how it was settled before. See `Ledger` for what an error means.
    pub async fn settle(self, location: Location, id: ReservationId, intent: Intent) -> Result<Verdict, LedgerError> {
        let probe = self.absence.may_ask()?;
        let (answer, answered) = oneshot::channel();
        let since = Instant::now();
        let request = Request { location, id, intent, since, answer, slot: self.slot, probe };
        // If nobody receives it, it is dropped, which is noticed below.
        let _ = self.requests.send(request);
        answered.await.unwrap_or_else(|_| {
            Err(DatabaseError::new(Failure::Silence, "the ledger stopped before it answered").into())
        })
    }
}

/// All queues. A location has one, which it may share with others.
pub(super) struct Queues {
    queues: Vec<Queue>,
    places: TaskTracker,
    absence: Arc<Absence>,
}

struct Queue {
    slots: Arc<Semaphore>,
    requests: mpsc::UnboundedSender<Request>,
}

impl Queues {
    /// Starts one dispatcher a queue. It ends once nobody can send to it any more and all is answered.
    pub(super) fn start(capacity: Capacity, queue_max: usize, batch_max: usize, batches: &Batches) -> Self {
        let start = |_| {
            let (requests, arriving) = mpsc::unbounded_channel();
            let dispatcher = Dispatcher {
                arriving,
                batches: batches.clone(),
                batch_max,
                lanes: Lanes::new(capacity.batches_at_once),
                waiting: BTreeMap::new(),
                turns: VecDeque::new(),
                runs: JoinSet::new(),
                running: HashMap::new(),
                kept: BTreeSet::new(),
            };
            tokio::spawn(dispatcher.run());
            Queue { slots: Arc::new(Semaphore::new(queue_max.min(Semaphore::MAX_PERMITS))), requests }
        };
        let queues = (0..capacity.queues).map(start).collect();
        Self { queues, places: TaskTracker::new(), absence: batches.absence.clone() }
    }

    pub(super) fn place(&self, location: &Location) -> Result<Place, LedgerError> {
        let mut hasher = DefaultHasher::new();
        location.hash(&mut hasher);
        let queue = &self.queues[(hasher.finish() % self.queues.len() as u64) as usize];
        // The token first: who closes after the permit was taken waits for it.
        let token = self.places.token();
        match queue.slots.clone().try_acquire_owned() {
            Ok(permit) => {
                let slot = Slot { _permit: permit, _token: token };
                Ok(Place { slot, requests: queue.requests.clone(), absence: self.absence.clone() })
            }
            Err(TryAcquireError::NoPermits) => Err(LedgerError::Overloaded),
            Err(TryAcquireError::Closed) => {
                Err(DatabaseError::new(Failure::NoConnection, "the ledger is closed").into())
            }
        }
    }

    /// The database answered: whoever comes next need not be told that it is away.
    pub(super) fn learn_present(&self) {
        self.absence.learn(false);
    }

    /// Refuses new places, and waits until those that were taken are used and answered, or given back.
    pub(super) async fn close(&self) {
        for queue in &self.queues {
            queue.slots.close();
        }
        self.places.close();
        self.places.wait().await;
    }
}

struct Dispatcher {
    arriving: mpsc::UnboundedReceiver<Request>,
    batches: Batches,
    batch_max: usize,
    lanes: Lanes,
    /// What gathers, of every location that is running or has its turn.
    waiting: BTreeMap<Location, VecDeque<Request>>,
    /// The locations to run next, first come first served.
    turns: VecDeque<Location>,
    /// Each run answers its batch.
    runs: JoinSet<Ended>,
    running: HashMap<Id, Location>,
    /// The locations whose last batch was kept waiting in vain, as most likely the next one will be.
    kept: BTreeSet<Location>,
}

struct Ended {
    away: Option<FoundAway>,
    was_kept: bool,
}

impl Dispatcher {
    async fn run(mut self) {
        loop {
            tokio::select! {
                // Runs are few, and whoever comes finds their place free.
                biased;
                Some(ended) = self.runs.join_next_with_id() => {
                    self.gather_arrived();
                    self.ended(ended);
                }
                Some(request) = self.arriving.recv() => {
                    self.gather(request);
                    self.gather_arrived();
                }
                lane = self.lanes.any(), if !self.turns.is_empty() => self.start_run(lane),
                else => return,
            }
        }
    }

    fn gather_arrived(&mut self) {
        while let Ok(request) = self.arriving.try_recv() {
            self.gather(request);
        }
    }

    fn gather(&mut self, request: Request) {
        let waiting = self.waiting.entry(request.location.clone()).or_insert_with_key(|location| {
            self.turns.push_back(location.clone());
            VecDeque::new()
        });
        waiting.push_back(request);
    }

    fn start_run(&mut self, lane: Lane) {
        let Some(location) = self.turns.pop_front() else { return };
        let Some(waiting) = self.waiting.get_mut(&location) else { return };
        let batch = next_batch(waiting, self.batch_max);
        if batch.is_empty() {
            self.waiting.remove(&location);
            return;
        }
        let turn = self.lanes.turn((!self.kept.contains(&location)).then_some(lane));
        let (batches, at) = (self.batches.clone(), location.clone());
        let run = self.runs.spawn(async move {
            let away = batches.settle(&at, batch, &turn).await;
            Ended { away, was_kept: turn.was_kept() }
        });
        self.running.insert(run.id(), location);
    }

    fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, Ended { away, was_kept }) = ended.unwrap_or_else(|panicked| {
            tracing::error!(cause = %panicked, "a batch was not answered");
            (panicked.id(), Ended { away: None, was_kept: false })
        });
        if let Some(away) = away {
            for waiting in self.waiting.values_mut() {
                let (told, later): (VecDeque<_>, _) =
                    waiting.drain(..).partition(|request| request.since <= away.since);
                *waiting = later;
                answer_all(told, &away.error);
            }
        }
        if let Some(location) = self.running.remove(&id) {
            match was_kept {
                true => self.kept.insert(location.clone()),
                false => self.kept.remove(&location),
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
mod tests {
    use std::pin::pin;
    use std::task::{Context, Wake, Waker};
    use std::time::Duration;

    use super::*;
    use crate::ledger::sql::SqlDatabase;

    type Answered = oneshot::Receiver<Result<Verdict, LedgerError>>;

    /// Looks, at the very moment an answer arrives, whether what it took is free again.
    struct Arrival {
        slots: Arc<Semaphore>,
        probe: Arc<Semaphore>,
        free: std::sync::Mutex<Option<(usize, usize)>>,
    }

    impl Wake for Arrival {
        fn wake(self: Arc<Self>) {
            let free = (self.slots.available_permits(), self.probe.available_permits());
            *self.free.lock().expect("not poisoned") = Some(free);
        }
    }

    fn permit(of: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        of.clone().try_acquire_owned().expect("it is free")
    }

    fn request(since: Instant, slots: &Arc<Semaphore>, probe: Option<OwnedSemaphorePermit>) -> (Request, Answered) {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            location: Location::parse("l").expect("a location"),
            id: ReservationId::parse("r").expect("an id"),
            intent: Intent::Cancel,
            since,
            answer,
            slot: Slot { _permit: permit(slots), _token: TaskTracker::new().token() },
            probe,
        };
        (request, answered)
    }

    #[tokio::test]
    async fn an_absence_is_told_to_those_who_waited_and_not_to_those_who_came_later() {
        let database = SqlDatabase::open("sqlite::memory:", 1).await.expect("opens");
        let batches = Batches { database: Arc::new(database), absence: Arc::default() };
        let (_requests, arriving) = mpsc::unbounded_channel();
        let mut dispatcher = Dispatcher {
            arriving,
            batches,
            batch_max: 1,
            lanes: Lanes::new(1),
            waiting: BTreeMap::new(),
            turns: VecDeque::new(),
            runs: JoinSet::new(),
            running: HashMap::new(),
            kept: BTreeSet::new(),
        };
        let (slots, since) = (Arc::new(Semaphore::new(3)), Instant::now());
        let requests = [since - Duration::from_millis(1), since, since + Duration::from_millis(1)];
        let [mut before, mut at, mut later] = requests.map(|since| {
            let (request, answered) = request(since, &slots, None);
            dispatcher.gather(request);
            answered
        });
        let run = tokio::spawn(async {});
        let away = Some(FoundAway { since, error: LedgerError::Overloaded });
        dispatcher.ended(Ok((run.id(), Ended { away, was_kept: false })));
        assert!(before.try_recv().is_ok_and(|answer| answer.is_err()));
        assert!(at.try_recv().is_ok_and(|answer| answer.is_err()));
        assert!(later.try_recv().is_err(), "it still waits");
    }

    #[test]
    fn whoever_is_answered_finds_the_place_and_the_probe_free() {
        let arrival = Arc::new(Arrival {
            slots: Arc::new(Semaphore::new(1)),
            probe: Arc::new(Semaphore::new(1)),
            free: std::sync::Mutex::new(None),
        });
        let (request, answered) = request(Instant::now(), &arrival.slots, Some(permit(&arrival.probe)));
        let mut answered = pin!(answered);
        assert!(answered.as_mut().poll(&mut Context::from_waker(&Waker::from(arrival.clone()))).is_pending());
        request.answer(Err(LedgerError::Overloaded));
        assert_eq!(*arrival.free.lock().expect("not poisoned"), Some((1, 1)));
    }

    #[test]
    fn a_batch_is_bounded_by_intents_and_lines() {
        for (lines, expected) in [
            (vec![], 0),
            (vec![1; 3], 3),
            (vec![1; 200], 128),
            (vec![100; 128], 10),
            (vec![400, 600, 1], 2),
            (vec![400, 601, 1], 1),
            (vec![BATCH_LINES_MAX + 1, 1], 1),
        ] {
            assert_eq!(fits(lines.iter().copied(), 128), expected, "{lines:?}");
        }
        assert_eq!(fits([1, 1].into_iter(), 0), 1);
        assert_eq!(fits([1; 2 * BATCH_LINES_MAX].into_iter(), usize::MAX), BATCH_LINES_MAX, "whoever asks for more");
    }
}
