//! Shared calls: commands of one location that are asked for at the same time travel in one call to the store, because
//! a call costs more than a command.
//!
//! While one call of a location is under way, the next one gathers. There is no timer, so a lone command never waits. A
//! call with as many commands as fit goes at once, so that the store finds it when it has done the one before. A store
//! that has done its work for one call answers only the first commands; the others go to the front of the queue.
//!
//! A store applies the calls of a location in the order in which they come. So commands are applied in the order in
//! which they were asked for, with these exceptions: a connection breaks or is down, the store has lost its functions,
//! it is full, or it left commands for later while a second call was under way. No promise rests on that order; it
//! spares repeats.
//!
//! What callers may rely on, besides what [`Holds`] says of commands:
//! - A command whose caller dropped the future before the command was sent is never applied.
//! - A call that failed is an error for every command that was in it. A call that panicked has an unknown outcome. What
//!   that means for a command is the same as if it had been alone: every command may be repeated.
//! - `Full` is the exception: commands that take memory are refused, the others are sent again.
//! - Commands queued behind a call that was not answered fail at once and are never sent, because they would hit the
//!   same timeout.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Notify, oneshot};

use super::{Command, Holds, HoldsError, Reply};
use crate::domain::Location;

/// The most commands of a call. A larger call is no cheaper per command, and Redis does nothing else meanwhile.
const BATCH_COMMANDS_MAX: usize = 128;

/// The most calls of a location at a time. The second call is there when the store has done the first; otherwise the
/// store would wait for it. Only a full call is sent as the second: many small calls cost more than the waiting.
const CALLS_MAX: usize = 2;

/// The most lines that the commands of a call carry; a command with more goes alone. A store reads all of them before
/// it begins, so what it leaves for later must not be much.
const BATCH_LINES_MAX: usize = 1000;

/// The most commands that wait in one location; more are refused.
const WAITING_MAX: usize = 16 * 1024;

/// Shares the calls to a store. A clone is another handle to the same.
#[derive(Clone)]
pub struct BatchedHolds {
    store: Arc<dyn Holds>,
    waiting: Arc<Waiting>,
}

/// The queues, by location. A location is here as long as a task makes its calls.
#[derive(Default)]
struct Waiting(Mutex<HashMap<Location, Queue>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<Location, Queue>> {
        // Nothing under the lock can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The commands that wait in one location.
struct Queue {
    callers: VecDeque<Caller>,
    /// Tells the task that makes the calls.
    is_full: Arc<Notify>,
}

struct Caller {
    command: Command,
    answer: oneshot::Sender<Answer>,
}

type Answer = Result<Reply, HoldsError>;

impl Caller {
    fn has_gone(&self) -> bool {
        self.answer.is_closed()
    }
}

impl BatchedHolds {
    /// Shares the calls to this store.
    pub fn over(store: Arc<dyn Holds>) -> Self {
        Self { store, waiting: Arc::default() }
    }

    /// Applies one command.
    ///
    /// # Errors
    /// As [`Holds::apply`], and `Overloaded` if too many commands wait.
    pub async fn apply(&self, location: &Location, command: Command) -> Result<Reply, HoldsError> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(location, Caller { command, answer })?;
        answered.await.unwrap_or_else(|_| Err(broken()))
    }

    /// Answers if the store is there.
    pub async fn ping(&self) -> Result<(), HoldsError> {
        self.store.ping().await
    }

    /// In how many locations commands wait or are under way.
    pub fn locations(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Takes a place in the queue of the location. Starts the task that makes its calls unless there is one.
    fn enqueue(&self, location: &Location, caller: Caller) -> Result<(), HoldsError> {
        let mut waiting = self.waiting.lock();
        if let Some(Queue { callers, is_full }) = waiting.get_mut(location) {
            if callers.len() >= WAITING_MAX {
                callers.retain(|caller| !caller.has_gone());
            }
            if callers.len() >= WAITING_MAX {
                return Err(HoldsError::Overloaded);
            }
            callers.push_back(caller);
            if callers.len() == BATCH_COMMANDS_MAX {
                is_full.notify_one();
            }
        } else {
            let is_full = Arc::<Notify>::default();
            let queue = Queue { callers: VecDeque::from([caller]), is_full: is_full.clone() };
            waiting.insert(location.clone(), queue);
            let calls =
                Calls { store: self.store.clone(), waiting: self.waiting.clone(), location: location.clone(), is_full };
            tokio::spawn(calls.make());
        }
        Ok(())
    }
}

/// Makes the calls of one location until its queue is empty.
struct Calls {
    store: Arc<dyn Holds>,
    waiting: Arc<Waiting>,
    location: Location,
    is_full: Arc<Notify>,
}

impl Calls {
    async fn make(self) {
        let mut calls = FuturesUnordered::new();
        loop {
            while calls.len() < CALLS_MAX && (calls.is_empty() || self.waits_full()) {
                let Some(batch) = self.next_batch(calls.is_empty()) else { break };
                calls.push(self.answer(batch));
            }
            tokio::select! {
                biased;
                answered = calls.next() => if answered.is_none() { break },
                () = self.is_full.notified() => {}
            }
        }
    }

    /// Whether the waiting commands fill a call.
    fn waits_full(&self) -> bool {
        self.waiting.lock().get(&self.location).is_some_and(|queue| queue.callers.len() >= BATCH_COMMANDS_MAX)
    }

    /// The commands of the next call, in order of arrival; none if none wait. Then, if no call is under way, the
    /// location is left.
    fn next_batch(&self, is_last: bool) -> Option<Vec<Caller>> {
        let mut waiting = self.waiting.lock();
        let callers = &mut waiting.get_mut(&self.location)?.callers;
        let (mut batch, mut lines) = (Vec::new(), 0_usize);
        while batch.len() < BATCH_COMMANDS_MAX
            && let Some(caller) = callers.pop_front()
        {
            if caller.has_gone() {
                continue;
            }
            lines = lines.saturating_add(caller.command.lines());
            if lines > BATCH_LINES_MAX && !batch.is_empty() {
                callers.push_front(caller);
                break;
            }
            batch.push(caller);
        }
        if batch.is_empty() && is_last {
            waiting.remove(&self.location);
        }
        Some(batch).filter(|batch| !batch.is_empty())
    }

    async fn answer(&self, batch: Vec<Caller>) {
        let (commands, callers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|Caller { command, answer }| (command, answer)).unzip();
        match self.call(&commands).await {
            Ok(replies) if (1..=commands.len()).contains(&replies.len()) => {
                let mut batch = commands.into_iter().zip(callers);
                for (reply, (_, caller)) in replies.into_iter().zip(&mut batch) {
                    tell(caller, Ok(reply));
                }
                if batch.len() > 0 {
                    self.put_back(batch.map(|(command, answer)| Caller { command, answer }));
                }
            }
            Ok(replies) => {
                let answer = format!("{} replies to {} commands", replies.len(), commands.len());
                callers.into_iter().for_each(|caller| tell(caller, Err(HoldsError::Corrupt(answer.clone()))));
            }
            // Nothing was applied, because some commands take memory. If none do, sending them again would not help.
            Err(HoldsError::Full) if commands.iter().any(Command::takes_memory) => {
                let mut spared = Vec::new();
                for (command, caller) in commands.into_iter().zip(callers) {
                    if command.takes_memory() {
                        tell(caller, Err(HoldsError::Full));
                    } else {
                        spared.push(Caller { command, answer: caller });
                    }
                }
                if !spared.is_empty() {
                    Box::pin(self.answer(spared)).await;
                }
            }
            Err(error) => {
                callers.into_iter().for_each(|caller| tell(caller, Err(error.clone())));
                if matches!(error, HoldsError::OutcomeUnknown(_)) {
                    self.refuse_all();
                }
            }
        }
    }

    /// Puts commands that the store left for later at the front of the queue, in their order.
    fn put_back(&self, callers: impl DoubleEndedIterator<Item = Caller>) {
        if let Some(queue) = self.waiting.lock().get_mut(&self.location) {
            callers.rev().for_each(|caller| queue.callers.push_front(caller));
        }
    }

    /// The store did not answer a call. The commands queued behind it fail now and are never sent.
    fn refuse_all(&self) {
        let waiting = self.waiting.lock().get_mut(&self.location).map(|queue| std::mem::take(&mut queue.callers));
        for caller in waiting.into_iter().flatten() {
            tell(caller.answer, Err(HoldsError::Unavailable("the call before was not answered".into())));
        }
    }

    async fn call(&self, commands: &[Command]) -> Result<Vec<Reply>, HoldsError> {
        // A panic must not end the task that makes the calls of this location. The panic hook has logged it.
        let call = AssertUnwindSafe(self.store.apply(&self.location, commands)).catch_unwind();
        call.await.unwrap_or_else(|_| Err(broken()))
    }
}

fn tell(caller: oneshot::Sender<Answer>, answer: Answer) {
    // A caller who has gone needs no answer.
    let _ = caller.send(answer);
}

fn broken() -> HoldsError {
    HoldsError::OutcomeUnknown("the call broke down".into())
}
