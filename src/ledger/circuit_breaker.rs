//! The circuit breaker before the database.
//!
//! It opens when a batch finds that the database is away or takes no writes. While it is open, one request at a time
//! asks the database whether it is back; all others fail at once, instead of waiting for a connection each. Any answer
//! of the database closes it, except that an answer to a question does not show that the database takes writes again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{DatabaseError, Failure, LedgerError};

pub(super) struct CircuitBreaker {
    /// Why it is open; `None` while it is closed.
    open: Mutex<Option<LedgerError>>,
    probes: Arc<Semaphore>,
}

/// Permits one request to ask the database while the breaker is open, until the request is answered.
pub(super) struct ProbePermit {
    _permit: OwnedSemaphorePermit,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { open: Mutex::default(), probes: Arc::new(Semaphore::new(1)) }
    }
}

impl CircuitBreaker {
    /// Lets a request pass, with a permit if the breaker is open, or says at once that the database is away.
    pub(super) fn admit(&self) -> Result<Option<ProbePermit>, LedgerError> {
        if self.error().is_none() {
            return Ok(None);
        }
        match self.probes.clone().try_acquire_owned() {
            Ok(permit) => Ok(Some(ProbePermit { _permit: permit })),
            Err(_) => Err(DatabaseError::new(Failure::NoConnection, "the database was away a moment ago").into()),
        }
    }

    /// Why it is open; `None` while it is closed. A request that has no probe permit was admitted before the breaker
    /// opened, and would only find the same.
    pub(super) fn error(&self) -> Option<LedgerError> {
        self.lock().clone()
    }

    /// A batch was committed.
    pub(super) fn close(&self) {
        self.set(None);
    }

    /// The database did something else than to commit a batch, perhaps without a write.
    pub(super) fn answered(&self) {
        self.lock().take_if(|error| error.failure() != Some(Failure::Unwritable));
    }

    /// Opens or closes, where this failure of a batch tells whether the database is away.
    pub(super) fn learn(&self, error: &LedgerError) {
        match error.tells_absence() {
            Some(true) => self.set(Some(error.clone())),
            Some(false) => self.close(),
            None => {}
        }
    }

    fn set(&self, open: Option<LedgerError>) {
        *self.lock() = open;
    }

    fn lock(&self) -> MutexGuard<'_, Option<LedgerError>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(failure: Failure) -> LedgerError {
        DatabaseError::new(failure, "a failure").into()
    }

    #[test]
    fn while_it_is_open_one_request_at_a_time_passes() {
        let breaker = CircuitBreaker::default();
        breaker.learn(&failed(Failure::Silence));
        assert!(matches!(breaker.admit(), Ok(None)), "a silence does not open it");
        for opens in [Failure::Connection, Failure::NoConnection, Failure::Unwritable] {
            breaker.learn(&failed(opens));
            let probe = breaker.admit().ok().flatten().expect("the first one probes");
            assert!(breaker.admit().is_err(), "a second one does not");
            drop(probe);
            breaker.admit().ok().flatten().expect("the next one probes");
            breaker.answered();
            assert_eq!(breaker.error().is_some(), opens == Failure::Unwritable, "an answer is no write");
            breaker.learn(&failed(Failure::Collision));
            assert!(matches!(breaker.admit(), Ok(None)), "an answer closes it");
        }
    }
}
