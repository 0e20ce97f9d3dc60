//! All connections that are open, at most so many. When there are more callers, a connection on which nothing is under
//! way makes room. Those that have never carried a request may take one place in [`FRESH_PART`]. If they have more, the
//! oldest of them goes; else the one that has been idle longest goes. So a flood of them drives out few connections of
//! callers, and a fresh caller has time to send the first request. While no connection is idle, fresh callers wait.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::grpc::peer::Peer;
use crate::telemetry::ration::Ration;

/// A connection that has carried a request may be between two calls: it is idle only after this.
const IDLE_MIN: Duration = Duration::from_millis(100);

/// The part of all places for connections that have never carried a request.
const FRESH_PART: usize = 4;

/// How often a fresh caller who waits looks for a connection that has become idle.
const LOOK_EVERY: Duration = Duration::from_millis(50);

static FULL: Ration = Ration::new(1, Duration::from_secs(10));

#[derive(Debug)]
pub(super) struct Connections {
    connections_max: usize,
    places: Arc<Semaphore>,
    open: Mutex<HashMap<u64, Arc<State>>>,
    began: Instant,
}

/// What others may know of a connection, and tell it.
#[derive(Debug)]
struct State {
    peer: Peer,
    began: Instant,
    streams: AtomicUsize,
    has_asked: AtomicBool,
    /// Counted from `began`. It is out of date while there are streams.
    idle_since_us: AtomicU64,
    is_to_leave: AtomicBool,
    bell: Notify,
}

impl State {
    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn touch(&self) {
        self.idle_since_us.store(self.now_us(), Ordering::Release);
    }

    /// How long nothing has been under way. `None` if something is.
    fn idle(&self) -> Option<Duration> {
        let streams = self.streams.load(Ordering::Acquire);
        let since = self.idle_since_us.load(Ordering::Acquire);
        (streams == 0).then(|| Duration::from_micros(self.now_us().saturating_sub(since)))
    }

    fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Acquire)
    }

    /// Of two connections the one with the lower rank goes first; none has to while something is under way. Those that
    /// have carried requests go after the others, or before them.
    fn rank(&self, asked_last: bool) -> Option<(bool, Reverse<Duration>)> {
        let has_asked = self.has_asked();
        let idle = self.idle()?;
        (!has_asked || idle >= IDLE_MIN).then_some((has_asked == asked_last, Reverse(idle)))
    }
}

impl Connections {
    pub(super) fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self {
            connections_max,
            places: Arc::new(Semaphore::new(connections_max)),
            open: Mutex::default(),
            began: Instant::now(),
        })
    }

    /// Takes a new connection in. If there are too many it waits until another one has made room.
    pub(super) async fn enter(self: &Arc<Self>) -> OpenConnection {
        let place = self.place().await;
        let peer = Peer::accepted();
        let state = Arc::new(State {
            peer,
            began: self.began,
            streams: AtomicUsize::new(0),
            has_asked: AtomicBool::new(false),
            idle_since_us: AtomicU64::new(0),
            is_to_leave: AtomicBool::new(false),
            bell: Notify::new(),
        });
        state.touch();
        self.open().insert(peer.id, state.clone());
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
                "all connections are taken: a fresh caller needs one that is idle"
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

    /// Tells one connection to leave, unless one is leaving or all are in use.
    fn make_room(&self) {
        let open = self.open();
        if open.values().any(|state| state.is_to_leave.load(Ordering::Acquire)) {
            return;
        }
        let fresh = open.values().filter(|state| !state.has_asked()).count();
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
    pub(super) fn peer(&self) -> Peer {
        self.state.peer
    }

    /// A request has come.
    pub(super) fn stream(&self) -> OpenStream {
        self.state.streams.fetch_add(1, Ordering::AcqRel);
        self.state.has_asked.store(true, Ordering::Release);
        OpenStream(self.state.clone())
    }

    /// How long nothing has been under way. `None` if something is.
    pub(super) fn idle(&self) -> Option<Duration> {
        self.state.idle()
    }

    /// Waits until it is told to leave, or the server stops.
    pub(super) async fn told(&self) {
        self.state.bell.notified().await;
    }

    /// True if it is to make room for another one.
    pub(super) fn is_to_leave(&self) -> bool {
        self.state.is_to_leave.load(Ordering::Acquire)
    }

    /// It cannot leave after all: something is under way.
    pub(super) fn stays(&self) {
        self.state.touch();
        self.state.is_to_leave.store(false, Ordering::Release);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.open().remove(&self.state.peer.id);
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct OpenStream(Arc<State>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        // The time first: it must be right once the connection counts as idle.
        self.0.touch();
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}
