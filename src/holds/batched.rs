//! Holds whose callers share calls: commands of one location that are asked for at the same time travel in one call to
//! the store, because calls are what costs.
//!
//! While one call of a location is under way the next one gathers; no timer, so a lone command never waits. One that
//! has as many callers as commands fit goes at once, so that the store finds it when it has done the one before. A
//! store applies the calls of a location in the order in which they come. So its commands are applied in the order in
//! which they were asked for, unless a connection breaks or is down, the store has lost its functions, or it is full
//! and some are asked for again. No promise rests on that order: it spares repeats.
//!
//! What callers may rely on, besides what [`Holds`] says of commands:
//! - A caller who has gone (dropped the future) before his command was sent is skipped: it is never applied.
//! - A call that failed is an error for all whose commands were in it, and one that panicked has an unknown outcome.
//!   What that means for each is the same as if he had been alone: every command may be repeated. Only a store that is
//!   full refuses not all: what takes no memory is asked for again without the rest.
//! - Where a call is not answered, those who waited for it are not sent: nobody waits through the timeouts of others.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Notify, oneshot};

use super::{Command, Holds, HoldsError, Reply};
use crate::domain::Location;

/// The most commands of a call: from here on a call gets no cheaper, and Redis does nothing else meanwhile.
const BATCH_COMMANDS_MAX: usize = 128;

/// The most calls of a location at a time. The second is there when the store has done the first, which it would else
/// wait for. It is sent only if it is a full one: many small calls cost more than the waiting.
const CALLS_MAX: usize = 2;

/// The most lines of a call, likewise; a command with more goes alone.
const BATCH_LINES_MAX: usize = 1000;

/// The most callers that wait in one location; more are refused.
const WAITING_MAX: usize = 16 * 1024;

/// Shares the calls to a store. A clone is another handle to the same.
#[derive(Clone)]
pub struct BatchedHolds {
    store: Arc<dyn Holds>,
    waiting: Arc<Waiting>,
}

/// Who waits, by location. One that is here has its calls made.
#[derive(Default)]
struct Waiting(Mutex<HashMap<Location, Queue>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<Location, Queue>> {
        // Nothing that can panic is done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who waits in a location.
struct Queue {
    callers: VecDeque<Caller>,
    /// Tells whoever makes the calls.
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
    /// As [`Holds::apply`], and `Overloaded` if too many wait.
    pub async fn apply(&self, location: &Location, command: Command) -> Result<Reply, HoldsError> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(location, Caller { command, answer })?;
        answered.await.unwrap_or_else(|_| Err(broken()))
    }

    /// Answers if the store is there.
    pub async fn ping(&self) -> Result<(), HoldsError> {
        self.store.ping().await
    }

    /// Takes a place in the queue of the location, and has its calls made unless they are already.
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

/// The calls of one location, made until nobody waits any more.
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

    /// Whether those who wait fill a call.
    fn waits_full(&self) -> bool {
        self.waiting.lock().get(&self.location).is_some_and(|queue| queue.callers.len() >= BATCH_COMMANDS_MAX)
    }

    /// Those whose commands fit into one call, in order of arrival; none once nobody waits. Then, if it is the last,
    /// the location is left.
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
            Ok(replies) if replies.len() == commands.len() => {
                callers.into_iter().zip(replies).for_each(|(caller, reply)| tell(caller, Ok(reply)));
            }
            Ok(replies) => {
                let answer = format!("{} replies to {} commands", replies.len(), commands.len());
                callers.into_iter().for_each(|caller| tell(caller, Err(HoldsError::Corrupt(answer.clone()))));
            }
            // Nothing was applied, for the sake of those who take memory. Where nobody does, asking again would not
            // help.
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

    /// The store does not answer. Whoever waited for it as long would only wait again for as long: he is told at once,
    /// and what he asked for is never sent.
    fn refuse_all(&self) {
        let waiting = self.waiting.lock().get_mut(&self.location).map(|queue| std::mem::take(&mut queue.callers));
        for caller in waiting.into_iter().flatten() {
            tell(caller.answer, Err(HoldsError::Unavailable("the call before was not answered".into())));
        }
    }

    async fn call(&self, commands: &[Command]) -> Result<Vec<Reply>, HoldsError> {
        // A panic must not leave the location without anybody who makes its calls; the panic hook has logged it.
        let call = AssertUnwindSafe(self.store.apply(&self.location, commands)).catch_unwind();
        call.await.unwrap_or_else(|_| Err(broken()))
    }
}

fn tell(caller: oneshot::Sender<Answer>, answer: Answer) {
    // One who has gone meanwhile needs no answer.
    let _ = caller.send(answer);
}

fn broken() -> HoldsError {
    HoldsError::OutcomeUnknown("the call broke down".into())
}
