//! The connection that a request came over. Every request carries its [`Caller`], in an `Arc`, among its extensions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::pages::PeerPage;
use super::unsent::PeerUnsent;

/// One connection of a caller. Permits are shared between connections by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// No two connections of a process have the same.
    pub id: u64,
}

impl Peer {
    /// A connection that has just been accepted.
    pub(super) fn accepted() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }
}

/// What the requests of one connection share.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) peer: Peer,
    pub(super) unsent: PeerUnsent,
    pub(super) page: PeerPage,
    pub(super) activity: Arc<Activity>,
    /// Cancelled when no further request can begin on the connection. Streams that only wait end then.
    pub(super) ending: CancellationToken,
}

impl Caller {
    /// The caller behind a connection that has just been accepted.
    pub(super) fn new(unsent: PeerUnsent) -> Arc<Self> {
        Arc::new(Self {
            peer: Peer::accepted(),
            unsent,
            page: PeerPage::new(),
            activity: Activity::new(),
            ending: CancellationToken::new(),
        })
    }
}

#[cfg(test)]
impl Caller {
    /// A caller over a connection of their own, for which nothing waits to be sent.
    pub(super) fn alone() -> Arc<Self> {
        Self::new(super::unsent::Unsent::new(usize::MAX).of_peer())
    }
}
