//! The backlog of a connection: what h2 was given and has not written to the socket yet. Data count until h2 drops
//! them, which it does once they are written. Headers and trailers have no such end. They count until h2 has nothing
//! left to write.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use http::HeaderMap;

use crate::grpc::unsent::PeerUnsent;

/// What a header takes besides its name and its value, in bytes.
const HEADER_BYTES: usize = 100;

/// The backlog of one connection.
#[derive(Debug)]
pub(super) struct Backlog {
    unsent: PeerUnsent,
    /// Of headers and trailers.
    heads_bytes: AtomicUsize,
    /// The last write to the socket had to wait.
    is_blocked: AtomicBool,
    /// h2 had nothing left to write at some time after the socket was last blocked.
    is_over: AtomicBool,
}

impl Backlog {
    pub(super) fn new(unsent: PeerUnsent) -> Self {
        let (is_blocked, is_over) = (AtomicBool::new(false), AtomicBool::new(true));
        Self { unsent, heads_bytes: AtomicUsize::new(0), is_blocked, is_over }
    }

    /// Counts headers or trailers that h2 is about to be given.
    pub(super) fn count(&self, headers: &HeaderMap) {
        let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES).sum();
        self.heads_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.unsent.add(bytes);
    }

    /// The socket was written to. True if this is where a new backlog begins.
    pub(super) fn written(&self, is_blocked: bool) -> bool {
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
        is_blocked && self.is_over.swap(false, Ordering::Relaxed)
    }

    /// True if the peer does not take what h2 has for them.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Relaxed)
    }

    /// Lets h2 do what it can. If it then waits for anything but the socket, it has written all that it was given
    /// before.
    pub(super) fn drive<T>(&self, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        let heads_bytes = self.heads_bytes.load(Ordering::Relaxed);
        let polled = poll();
        if polled.is_pending() && !self.is_blocked() {
            self.is_over.store(true, Ordering::Relaxed);
            self.remove(heads_bytes);
        }
        polled
    }

    fn remove(&self, heads_bytes: usize) {
        if heads_bytes > 0 {
            self.heads_bytes.fetch_sub(heads_bytes, Ordering::Relaxed);
            self.unsent.remove(heads_bytes);
        }
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.remove(self.heads_bytes.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests;
