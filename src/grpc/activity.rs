//! What is under way on a connection. A stream is, from its headers until its answer is sent. Some streams only wait:
//! a watch of health, and a session of which no request is unanswered. No call is lost if they end. So a connection
//! whose streams only wait makes room for a fresh caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The streams of one connection, counted.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    has_asked: AtomicBool,
    streams: AtomicUsize,
    /// The streams that do more than wait. It is too low for the moment between the end of a stream and that of its
    /// session. So a connection that rests for a moment may not be at rest.
    busy: AtomicIsize,
    /// When the last stream ended or began to wait, counted from `began`.
    at_rest_since_us: AtomicU64,
}

impl Activity {
    /// Of a connection that has just been accepted.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            has_asked: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            busy: AtomicIsize::new(0),
            at_rest_since_us: AtomicU64::new(0),
        })
    }

    /// True if there has been a stream.
    pub(super) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Acquire)
    }

    /// True if there is a stream.
    pub(super) fn has_streams(&self) -> bool {
        self.streams.load(Ordering::Acquire) > 0
    }

    /// How long no stream has done anything but wait. `None` if one does more.
    pub(super) fn at_rest(&self) -> Option<Duration> {
        let busy = self.busy.load(Ordering::Acquire);
        let since = Duration::from_micros(self.at_rest_since_us.load(Ordering::Acquire));
        (busy <= 0).then(|| self.began.elapsed().saturating_sub(since))
    }

    /// How long there has been no stream. `None` if there is one.
    pub(super) fn idle(&self) -> Option<Duration> {
        self.at_rest().filter(|_| !self.has_streams())
    }

    /// Counts as if a stream had ended now.
    pub(super) fn touch(&self) {
        let now_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.at_rest_since_us.store(now_us, Ordering::Release);
    }

    /// A stream has begun. It ends when this is dropped.
    pub(super) fn stream(self: &Arc<Self>) -> OpenStream {
        self.busy.fetch_add(1, Ordering::AcqRel);
        self.streams.fetch_add(1, Ordering::AcqRel);
        self.has_asked.store(true, Ordering::Release);
        OpenStream(self.clone())
    }

    /// One of the streams only waits until this is dropped.
    pub(super) fn waits(self: &Arc<Self>) -> Waiting {
        self.begin_wait();
        Waiting(self.clone())
    }

    /// One more stream only waits.
    pub(super) fn begin_wait(&self) {
        // The time first: it must be right once the connection is at rest.
        self.touch();
        self.busy.fetch_sub(1, Ordering::AcqRel);
    }

    /// One stream less only waits.
    pub(super) fn end_wait(&self) {
        self.busy.fetch_add(1, Ordering::AcqRel);
    }
}

/// A stream that is under way.
#[derive(Debug)]
pub(super) struct OpenStream(Arc<Activity>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        // The time first, as in `begin_wait`.
        self.0.touch();
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A stream that only waits.
#[derive(Debug)]
pub(super) struct Waiting(Arc<Activity>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.end_wait();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_at_rest_while_its_streams_only_wait() {
        let activity = Activity::new();
        let seen = async || {
            advance(MOMENT).await;
            (activity.at_rest(), activity.idle())
        };
        assert_eq!(seen().await, (Some(MOMENT), Some(MOMENT)), "nothing has begun");
        assert!(!activity.has_asked());
        let watch = activity.stream();
        assert_eq!(seen().await, (None, None));
        let waits = activity.waits();
        assert_eq!(seen().await, (Some(MOMENT), None));
        let call = activity.stream();
        assert_eq!(seen().await, (None, None));
        drop(call);
        assert_eq!(seen().await, (Some(MOMENT), None));
        assert_eq!(seen().await, (Some(2 * MOMENT), None));
        drop((waits, watch));
        assert_eq!(seen().await, (Some(MOMENT), Some(MOMENT)));
        assert!(activity.has_asked());
    }
}
