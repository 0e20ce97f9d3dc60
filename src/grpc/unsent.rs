//! Answers that wait to be sent. They count in bytes, against one budget of the process, from when they are encoded
//! until the socket has taken them. Promises:
//! - A write that makes no progress for too long is given up.
//! - When the budget is used up, the writes that began first and cannot go on give way, as many as it takes to be
//!   within it again. A caller who reads a little now and then gains nothing by it. Until then calls are refused on
//!   connections for which anything waits, and beyond twice the budget on all. Calls that have run are answered.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::FutureExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

/// A write that began more recently is on its way: it never gives way to others.
const WRITE_MIN: Duration = Duration::from_millis(100);

/// The budget of a process.
#[derive(Clone, Debug)]
pub struct Unsent(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    bytes_max: usize,
    bytes: AtomicUsize,
    /// Of `bytes`, those of writes that were told to give way and are not gone yet.
    leaving_bytes: AtomicUsize,
    stalled: Mutex<BTreeMap<StallKey, Stalled>>,
    stalls: AtomicU64,
}

/// The part of the budget that one connection takes.
#[derive(Clone, Debug)]
pub(super) struct PeerUnsent(Arc<PeerPart>);

#[derive(Debug)]
struct PeerPart {
    unsent: Unsent,
    bytes: AtomicUsize,
}

/// A write that waits for its caller.
#[derive(Debug)]
struct Stalled {
    bytes: usize,
    give_way: oneshot::Sender<()>,
}

/// When a write began; the number tells apart those that began at once.
type StallKey = (Instant, u64);

impl Unsent {
    /// A budget of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Budget {
            bytes_max,
            bytes: AtomicUsize::new(0),
            leaving_bytes: AtomicUsize::new(0),
            stalled: Mutex::default(),
            stalls: AtomicU64::new(0),
        }))
    }

    /// The part of a connection that has just been accepted.
    pub(super) fn of_peer(&self) -> PeerUnsent {
        PeerUnsent(Arc::new(PeerPart { unsent: self.clone(), bytes: AtomicUsize::new(0) }))
    }

    /// What waits now, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Makes writes give way, those first that began first, until their bytes cover what is too much.
    fn relieve(&self) {
        let mut stalled = self.stalled();
        let leaving_bytes = self.0.leaving_bytes.load(Ordering::Relaxed);
        let mut excess_bytes = self.bytes().saturating_sub(self.0.bytes_max).saturating_sub(leaving_bytes);
        while excess_bytes > 0
            && let Some(first) = stalled.first_entry()
            && first.key().0.elapsed() >= WRITE_MIN
        {
            let Stalled { bytes, give_way } = first.remove();
            // The write keeps the receiver for as long as it is in the map.
            let _ = give_way.send(());
            self.0.leaving_bytes.fetch_add(bytes, Ordering::Relaxed);
            excess_bytes = excess_bytes.saturating_sub(bytes);
        }
    }

    fn stalled(&self) -> MutexGuard<'_, BTreeMap<StallKey, Stalled>> {
        // Every change of the map is one step.
        self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PeerUnsent {
    /// False if no further call may begin on this connection for now.
    pub(super) fn may_begin(&self) -> bool {
        let unsent = &self.0.unsent;
        let (bytes, bytes_max) = (unsent.bytes(), unsent.0.bytes_max);
        if bytes <= bytes_max {
            return true;
        }
        unsent.relieve();
        self.bytes() == 0 && bytes <= bytes_max.saturating_mul(2)
    }

    /// Counts so many bytes until the permit is dropped.
    pub(super) fn count(&self, bytes: usize) -> UnsentPermit {
        self.add(bytes);
        UnsentPermit { peer: self.clone(), bytes }
    }

    /// Counts so many bytes until they are removed.
    pub(super) fn add(&self, bytes: usize) {
        let unsent = &self.0.unsent;
        unsent.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        if unsent.bytes() > unsent.0.bytes_max {
            unsent.relieve();
        }
    }

    pub(super) fn remove(&self, bytes: usize) {
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.0.unsent.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The write of one stream, which is to go on at least every `stall_max`.
    pub(super) fn write(&self, stall_max: Duration) -> UnsentWrite {
        UnsentWrite { peer: self.clone(), stall_max, bytes: Some(0), began: None, stall: None }
    }

    /// The write of the socket, which carries all that waits for this connection.
    pub(super) fn write_all(&self, stall_max: Duration) -> UnsentWrite {
        UnsentWrite { peer: self.clone(), stall_max, bytes: None, began: None, stall: None }
    }

    /// What waits now for this connection, in bytes.
    fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

/// A part of the budget.
#[derive(Debug)]
pub(super) struct UnsentPermit {
    peer: PeerUnsent,
    bytes: usize,
}

impl Drop for UnsentPermit {
    fn drop(&mut self) {
        self.peer.remove(self.bytes);
    }
}

/// A piece of an encoded answer.
#[derive(Debug)]
pub(super) struct UnsentBytes {
    bytes: Bytes,
    /// `None` if a later piece shares the memory and has the permit for both.
    _permit: Option<UnsentPermit>,
}

impl UnsentBytes {
    /// No bytes, which need no memory.
    pub(super) fn empty() -> Self {
        Self { bytes: Bytes::new(), _permit: None }
    }

    /// Takes the first bytes off. The whole counts until its last piece is sent: until then the memory is not free.
    pub(super) fn split_to(&mut self, length: usize) -> Self {
        Self { bytes: self.bytes.split_to(length), _permit: None }
    }
}

impl Buf for UnsentBytes {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// The progress of one write.
#[derive(Debug)]
pub(super) struct UnsentWrite {
    peer: PeerUnsent,
    stall_max: Duration,
    /// Of the answer that is being written. `None` for a socket: it writes all that waits for the connection.
    bytes: Option<usize>,
    /// When it began to be written.
    began: Option<Instant>,
    stall: Option<Stall>,
}

#[derive(Debug)]
struct Stall {
    key: StallKey,
    bytes: usize,
    gives_way: oneshot::Receiver<()>,
    too_long: Pin<Box<Sleep>>,
}

impl UnsentWrite {
    /// Counts what is to be written.
    pub(super) fn count(&mut self, bytes: Bytes) -> UnsentBytes {
        self.bytes = Some(bytes.len());
        self.begins();
        let permit = self.peer.count(bytes.len());
        UnsentBytes { bytes, _permit: Some(permit) }
    }

    /// What is written from now on is another thing, younger than what was written before.
    pub(super) fn begins(&mut self) {
        self.began = Some(Instant::now());
    }

    /// To be asked each time that the write cannot go on. Ready when it is to be given up.
    pub(super) fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { peer, stall_max, bytes, began, stall } = self;
        let stall = stall.get_or_insert_with(|| {
            let unsent = &peer.0.unsent;
            let key = (*began.get_or_insert_with(Instant::now), unsent.0.stalls.fetch_add(1, Ordering::Relaxed));
            let bytes = bytes.unwrap_or_else(|| peer.bytes());
            let (give_way, gives_way) = oneshot::channel();
            unsent.stalled().insert(key, Stalled { bytes, give_way });
            Stall { key, bytes, gives_way, too_long: Box::pin(sleep(*stall_max)) }
        });
        if stall.too_long.poll_unpin(cx).is_ready() {
            return Poll::Ready(());
        }
        // The sender is dropped only together with this, or after it has sent.
        let _ = ready!(stall.gives_way.poll_unpin(cx));
        Poll::Ready(())
    }

    /// To be told each time that the write has gone on.
    pub(super) fn goes_on(&mut self) {
        let unsent = &self.peer.0.unsent;
        if let Some(stall) = self.stall.take()
            && unsent.stalled().remove(&stall.key).is_none()
        {
            // It was told to give way. Its bytes no longer count as leaving.
            unsent.0.leaving_bytes.fetch_sub(stall.bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for UnsentWrite {
    fn drop(&mut self) {
        self.goes_on();
    }
}

#[cfg(test)]
mod tests;
