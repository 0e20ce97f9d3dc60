//! How many batches of one queue run at the same time, and who gives way.
//!
//! A batch whose rows somebody keeps locked waits for them again and again, and holds a connection meanwhile. So a try
//! that waited in vain costs its batch the lane: for the next one it is in line with its like, who may not fill all
//! lanes. One is always left to those who have not been kept waiting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A try that failed later has waited for somebody: it is a fraction of a lock wait, and many times what a deadlock or
/// a duplicate takes to be found.
const QUICK_MAX: Duration = Duration::from_millis(200);

/// The lanes of one queue. A clone is another handle to the same ones.
#[derive(Clone)]
pub(super) struct Lanes {
    all: Arc<Semaphore>,
    /// Those that may be filled by batches that were kept waiting.
    for_kept: Arc<Semaphore>,
}

/// A lane while it is held. They are never closed, so there always is a permit.
pub(super) struct Lane {
    _permit: Option<OwnedSemaphorePermit>,
    _for_kept: Option<OwnedSemaphorePermit>,
}

/// One batch's right to try.
pub(super) struct Turn {
    lanes: Lanes,
    /// None once a try has waited in vain.
    lane: Mutex<Option<Lane>>,
}

impl Lanes {
    /// If there is only one lane, anybody may have it.
    pub(super) fn new(count: usize) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.max(1)));
        Self { all: semaphore(count), for_kept: semaphore(count.saturating_sub(1)) }
    }

    /// Waits for a lane.
    pub(super) async fn any(&self) -> Lane {
        Lane { _permit: self.all.clone().acquire_owned().await.ok(), _for_kept: None }
    }

    async fn for_kept(&self) -> Lane {
        let for_kept = self.for_kept.clone().acquire_owned().await.ok();
        Lane { _for_kept: for_kept, ..self.any().await }
    }

    /// The turn of a batch that has its lane, or that is in line with those who were kept waiting.
    pub(super) fn turn(&self, lane: Option<Lane>) -> Turn {
        Turn { lanes: self.clone(), lane: Mutex::new(lane) }
    }
}

impl Turn {
    /// Makes one try, as soon as there is a lane for it.
    pub(super) async fn run<T, E>(&self, attempt: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let held = self.held().take();
        let lane = match held {
            Some(lane) => lane,
            None => self.lanes.for_kept().await,
        };
        let begun = Instant::now();
        let result = attempt.await;
        if result.is_ok() || begun.elapsed() < QUICK_MAX {
            *self.held() = Some(lane);
        }
        result
    }

    /// Whether the last try has waited in vain.
    pub(super) fn was_kept(&self) -> bool {
        self.held().is_none()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Lane>> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
