//! All connections that are open, at most so many. When there are more callers, a connection at rest makes room:
//! nothing is under way on it, or only streams that wait (`activity`). Those that have never carried a request may take
//! one place in [`FRESH_PART`]. If they have more, the oldest of them goes. Else the one goes that has been at rest
//! longest. So a flood of them drives out few connections of callers, and a fresh caller has time to send the first
//! request. While no connection is at rest, fresh callers wait.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::grpc::peer::Caller;
use crate::grpc::unsent::Unsent;
use crate::telemetry::ration::Ration;

/// A connection that has carried a request may be between two calls. It makes room only after this.
pub(super) const REST_MIN: Duration = Duration::from_millis(100);

/// The part of all places for connections that have never carried a request.
const FRESH_PART: usize = 4;

/// How often a fresh caller who waits looks for a connection that has come to rest.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A connection without streams has left by then. Others need a moment more, while the next one is told.
const TELL_EVERY: Duration = Duration::from_millis(250);

static FULL: Ration = Ration::new(1, Duration::from_secs(10));

#[derive(Debug)]
pub(super) struct Connections {
    connections_max: usize,
    places: Arc<Semaphore>,
    open: Mutex<HashMap<u64, Arc<State>>>,
}

/// What others may know of a connection, and tell it.
#[derive(Debug)]
struct State {
    caller: Arc<Caller>,
    /// When it was told to make room.
    told_at: Mutex<Option<Instant>>,
    bell: Notify,
}

impl State {
    /// How long ago it was told to make room. `None` if it was not, or could not.
    fn told(&self) -> Option<Duration> {
        Some(self.told_at().as_ref()?.elapsed())
    }

    fn told_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.told_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of two connections the one with the lower rank goes first; none has to that is not at rest. Those that have
    /// carried requests go after the others, or before them.
    fn rank(&self, asked_last: bool) -> Option<(bool, Reverse<Duration>)> {
        let has_asked = self.caller.activity.has_asked();
        let at_rest = self.caller.activity.at_rest()?;
        (!has_asked || at_rest >= REST_MIN).then_some((has_asked == asked_last, Reverse(at_rest)))
    }
}

impl Connections {
    pub(super) fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, places: Arc::new(Semaphore::new(connections_max)), open: Mutex::default() })
    }

    /// Takes a new connection in. If there are too many it waits until another one has made room.
    pub(super) async fn enter(self: &Arc<Self>, unsent: &Unsent) -> OpenConnection {
        let place = self.place().await;
        let caller = Caller::new(unsent.of_peer());
        let id = caller.peer.id;
        let state = Arc::new(State { caller, told_at: Mutex::default(), bell: Notify::new() });
        self.open().insert(id, state.clone());
        OpenConnection { connections: self.clone(), state, _place: place }
    }

    async fn place(&self) -> OwnedSemaphorePermit {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return place;
        }
        if let Some(omitted) = FULL.take() {
            let connections_max = self.connections_max;
            tracing::warn!(
                connections_max,
                omitted,
                "all connections are taken: a fresh caller needs one that is at rest"
            );
        }
        loop {
            self.make_room();
            // The semaphore is never closed.
            if let Ok(Ok(place)) = timeout(LOOK_EVERY, self.places.clone().acquire_owned()).await {
                return place;
            }
        }
    }

    /// Tells one connection to leave, unless one was told a moment ago or none is at rest. One that takes longer holds
    /// up no other.
    fn make_room(&self) {
        let open = self.open();
        if open.values().filter_map(|state| state.told()).any(|told| told < TELL_EVERY) {
            return;
        }
        let fresh = open.values().filter(|state| !state.caller.activity.has_asked()).count();
        let asked_last = fresh > self.connections_max / FRESH_PART;
        let staying = open.values().filter(|state| state.told().is_none());
        let ranked = staying.filter_map(|state| Some((state.rank(asked_last)?, state)));
        if let Some((_, state)) = ranked.min_by_key(|(rank, _)| *rank) {
            *state.told_at() = Some(Instant::now());
            state.bell.notify_one();
        }
    }

    /// Wakes all of them when the server stops.
    pub(super) fn ring(&self) {
        for state in self.open().values() {
            state.bell.notify_one();
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<State>>> {
        // Every change of the map is one step.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the others.
#[derive(Debug)]
pub(super) struct OpenConnection {
    connections: Arc<Connections>,
    state: Arc<State>,
    _place: OwnedSemaphorePermit,
}

impl OpenConnection {
    pub(super) fn caller(&self) -> &Arc<Caller> {
        &self.state.caller
    }

    /// Waits until it is told to make room, or the server stops.
    pub(super) async fn bell(&self) {
        self.state.bell.notified().await;
    }

    /// How long ago it was told to make room for another one, if it was.
    pub(super) fn told(&self) -> Option<Duration> {
        self.state.told()
    }

    /// It cannot leave after all: a call is under way.
    pub(super) fn stays(&self) {
        self.state.caller.activity.touch();
        *self.state.told_at() = None;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.open().remove(&self.state.caller.peer.id);
    }
}
