//! All connections that are open, at most so many. When there are more callers, a connection at rest makes room:
//! nothing is under way on it, or only streams that wait (`activity`). Those that have never carried a request may take
//! one place in [`FRESH_PART`]. If they have more, the oldest of them goes. Else the one goes that has been at rest
//! longest. So a flood of them drives out few connections of callers, and a fresh caller has time to send the first
//! request. While no connection is at rest, fresh callers wait.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::grpc::peer::Caller;
use crate::grpc::unsent::Unsent;
use crate::telemetry::ration::Ration;

/// A connection that has carried a request may be between two calls. It makes room only after this.
const REST_MIN: Duration = Duration::from_millis(100);

/// The part of all places for connections that have never carried a request.
const FRESH_PART: usize = 4;

/// How often a fresh caller who waits looks for a connection that has come to rest.
const LOOK_EVERY: Duration = Duration::from_millis(50);

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
    is_to_leave: AtomicBool,
    bell: Notify,
}

impl State {
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
        let state = Arc::new(State { caller, is_to_leave: AtomicBool::new(false), bell: Notify::new() });
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

    /// Tells one connection to leave, unless one is leaving or none is at rest.
    fn make_room(&self) {
        let open = self.open();
        if open.values().any(|state| state.is_to_leave.load(Ordering::Acquire)) {
            return;
        }
        let fresh = open.values().filter(|state| !state.caller.activity.has_asked()).count();
        let asked_last = fresh > self.connections_max / FRESH_PART;
        let ranked = open.values().filter_map(|state| Some((state.rank(asked_last)?, state)));
        if let Some((_, state)) = ranked.min_by_key(|(rank, _)| *rank) {
            state.is_to_leave.store(true, Ordering::Release);
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

    /// Waits until it is told to leave, or the server stops.
    pub(super) async fn told(&self) {
        self.state.bell.notified().await;
    }

    /// True if it is to make room for another one.
    pub(super) fn is_to_leave(&self) -> bool {
        self.state.is_to_leave.load(Ordering::Acquire)
    }

    /// It cannot leave after all: a call is under way.
    pub(super) fn stays(&self) {
        self.state.caller.activity.touch();
        self.state.is_to_leave.store(false, Ordering::Release);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.open().remove(&self.state.caller.peer.id);
    }
}
