use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::*;
use crate::ledger::circuit_breaker::CircuitBreaker;
use crate::ledger::error::{DatabaseError, Failure};

/// Looks, at the very moment an answer arrives, whether the permits are free again.
struct Arrival {
    room: Arc<Semaphore>,
    breaker: CircuitBreaker,
    seen: Mutex<Option<(usize, bool)>>,
}

impl Wake for Arrival {
    fn wake(self: Arc<Self>) {
        let seen = (self.room.available_permits(), self.breaker.admit().is_ok());
        *self.seen.lock().expect("not poisoned") = Some(seen);
    }
}

#[test]
fn a_caller_that_has_its_answer_finds_the_permits_free() {
    let breaker = CircuitBreaker::default();
    breaker.learn(&DatabaseError::new(Failure::NoConnection, "away").into());
    let arrival = Arc::new(Arrival { room: Arc::new(Semaphore::new(1)), breaker, seen: Mutex::default() });
    let permits = Permits {
        _queue: arrival.room.clone().try_acquire_owned().expect("it is free"),
        _open: TaskTracker::new().token(),
        probe: arrival.breaker.admit().expect("it is free"),
    };
    assert!(permits.probe.is_some() && arrival.breaker.admit().is_err());
    let (location, id) = (Location::parse("l").expect("a location"), ReservationId::parse("r").expect("an id"));
    let (request, answered) = Request::new(location, id, Intent::Cancel, permits);
    let mut answered = pin!(answered);
    assert!(answered.as_mut().poll(&mut Context::from_waker(&Waker::from(arrival.clone()))).is_pending());
    request.answer(Err(LedgerError::Overloaded));
    assert_eq!(*arrival.seen.lock().expect("not poisoned"), Some((1, true)));
}
