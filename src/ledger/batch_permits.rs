//! How many batches of one queue run at the same time, and which of them give way.
//!
//! A batch whose rows another client keeps locked waits for them again and again, and occupies a connection each time.
//! So a slow try, one that failed after a wait, costs its batch the permit. For the next try it needs one of the
//! permits for slow batches, which are one fewer than all: one is always left to the others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A try that fails later than this has waited for a lock. It is a fraction of a lock wait, and many times what it
/// takes to find a deadlock or a duplicate.
const QUICK_MAX: Duration = Duration::from_millis(200);

/// The permits of one queue. A clone is another handle to the same ones.
#[derive(Clone)]
pub(super) struct BatchPermits {
    all: Arc<Semaphore>,
    slow: Arc<Semaphore>,
}

/// Permits one batch to try. The semaphores are never closed, so the permits are always there.
pub(super) struct BatchPermit {
    _permit: Option<OwnedSemaphorePermit>,
    _slow: Option<OwnedSemaphorePermit>,
}

/// The tries of one batch.
pub(super) struct Tries {
    permits: BatchPermits,
    /// `None` once a try was slow.
    held: Mutex<Option<BatchPermit>>,
}

impl BatchPermits {
    /// If there is only one permit, slow batches may have it too.
    pub(super) fn new(count: usize) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.max(1)));
        Self { all: semaphore(count), slow: semaphore(count.saturating_sub(1)) }
    }

    /// Waits for a permit.
    pub(super) async fn acquire(&self) -> BatchPermit {
        BatchPermit { _permit: self.all.clone().acquire_owned().await.ok(), _slow: None }
    }

    async fn acquire_slow(&self) -> BatchPermit {
        let slow = self.slow.clone().acquire_owned().await.ok();
        BatchPermit { _slow: slow, ..self.acquire().await }
    }

    /// The tries of a batch that has this permit, or of one that is expected to be slow and has none.
    pub(super) fn tries(&self, permit: Option<BatchPermit>) -> Tries {
        Tries { permits: self.clone(), held: Mutex::new(permit) }
    }
}

impl Tries {
    /// Makes one try, as soon as there is a permit for it.
    pub(super) async fn run<T, E>(&self, attempt: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let held = self.held().take();
        let permit = match held {
            Some(permit) => permit,
            None => self.permits.acquire_slow().await,
        };
        let begun = Instant::now();
        let result = attempt.await;
        if result.is_ok() || begun.elapsed() < QUICK_MAX {
            *self.held() = Some(permit);
        }
        result
    }

    /// Whether the last try was slow.
    pub(super) fn were_slow(&self) -> bool {
        self.held().is_none()
    }

    fn held(&self) -> MutexGuard<'_, Option<BatchPermit>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
