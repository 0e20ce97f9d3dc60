//! The sessions that are open, at most so many, and which of them must go when another one comes.
//!
//! When all are taken, the session that has been idle longest is told to go away, and the newcomer takes its place at
//! once. A session that is not idle is never told. The same holds within the share of one connection. A session that
//! was told ends within moments. Until then it is one of [`GOING_MAX`] that may be open besides.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::grpc::peer::Caller;

/// The share of one connection: one part in so many.
const SHARES: usize = 8;

/// Sessions that were told to go away and have not ended yet.
const GOING_MAX: usize = 256;

/// All sessions that are open. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Registry(Arc<All>);

#[derive(Debug)]
struct All {
    sessions_max: usize,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    by_id: HashMap<u64, Arc<Session>>,
}

#[derive(Debug)]
struct Session {
    caller: Arc<Caller>,
    going_away: CancellationToken,
    /// Requests that were read and whose answers were not handed over to be sent.
    unanswered: AtomicUsize,
    /// When it was opened or last had such a request, in milliseconds of the registry.
    last_ms: AtomicU64,
}

impl Session {
    fn new(caller: Arc<Caller>, going_away: CancellationToken, now_ms: u64) -> Self {
        caller.activity.begin_wait();
        Self { caller, going_away, unanswered: AtomicUsize::new(0), last_ms: AtomicU64::new(now_ms) }
    }

    fn is_idle(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // All its requests are answered.
        self.caller.activity.end_wait();
    }
}

impl Registry {
    /// None yet.
    pub(super) fn new(sessions_max: usize) -> Self {
        Self(Arc::new(All { sessions_max, began: Instant::now(), state: Mutex::default() }))
    }

    /// Opens one, which is told to go away by `going_away`. None if there is no place for it.
    pub(super) fn open(&self, caller: &Arc<Caller>, going_away: CancellationToken) -> Option<Open> {
        let mut state = self.0.state();
        let staying = || state.by_id.values().filter(|session| !session.going_away.is_cancelled());
        let of_peer = || staying().filter(|session| session.caller.peer == caller.peer);
        let idle_longest = |session: &&Arc<Session>| session.last_ms.load(Ordering::Relaxed);
        let makes_way = if of_peer().count() >= self.0.sessions_max.div_ceil(SHARES) {
            Some(of_peer().filter(|session| session.is_idle()).min_by_key(idle_longest)?)
        } else if staying().count() >= self.0.sessions_max {
            Some(staying().filter(|session| session.is_idle()).min_by_key(idle_longest)?)
        } else {
            None
        };
        if let Some(session) = makes_way {
            let going = state.by_id.len() - staying().count();
            if going >= GOING_MAX {
                return None;
            }
            session.going_away.cancel();
        }
        let session = Arc::new(Session::new(caller.clone(), going_away, self.0.now_ms()));
        state.last_id += 1;
        let id = state.last_id;
        state.by_id.insert(id, Arc::clone(&session));
        Some(Open { id, session, all: Arc::clone(&self.0) })
    }
}

impl All {
    /// Nothing that can panic is done under the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A session that is open until this is dropped.
#[derive(Debug)]
pub(super) struct Open {
    id: u64,
    session: Arc<Session>,
    all: Arc<All>,
}

/// The stream of a session, which only waits while no request is unanswered. It may outlive the session: its caller may
/// not read the last word.
#[derive(Debug)]
pub(super) struct OpenStream(#[expect(dead_code, reason = "it is held")] Arc<Session>);

impl Open {
    /// Its stream.
    pub(super) fn stream(&self) -> OpenStream {
        OpenStream(Arc::clone(&self.session))
    }

    /// True if no request is unanswered.
    pub(super) fn is_idle(&self) -> bool {
        self.session.is_idle()
    }

    /// A request was read.
    pub(super) fn request(&self) -> Unanswered {
        if self.session.unanswered.fetch_add(1, Ordering::Relaxed) == 0 {
            self.session.caller.activity.end_wait();
        }
        Unanswered { session: Arc::clone(&self.session), all: Arc::clone(&self.all) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.all.state().by_id.remove(&self.id);
    }
}

/// A request of a session, which is not idle until this is dropped.
#[derive(Debug)]
pub(super) struct Unanswered {
    session: Arc<Session>,
    all: Arc<All>,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        // In this order: a session that counts as idle has been so since then.
        self.session.last_ms.store(self.all.now_ms(), Ordering::Relaxed);
        if self.session.unanswered.fetch_sub(1, Ordering::Release) == 1 {
            self.session.caller.activity.begin_wait();
        }
    }
}

#[cfg(test)]
mod tests;
