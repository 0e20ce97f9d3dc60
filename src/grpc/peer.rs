//! The connection that a request came over. Every request carries its [`Caller`] among its extensions.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::pages::PeerPage;
use super::unsent::PeerUnsent;

/// One connection of a caller. Bounds that all connections share are kept for each of them by it.
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
#[derive(Clone, Debug)]
pub(super) struct Caller(Arc<Connection>);

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) unsent: PeerUnsent,
    pub(super) page: PeerPage,
    /// Cancelled when no further request can begin on the connection. It ends when those under way are done. So what
    /// stays open for long ends with its connection.
    pub(super) ending: CancellationToken,
}

impl Caller {
    /// The caller behind a connection.
    pub(super) fn new(peer: Peer, unsent: PeerUnsent) -> Self {
        let (page, ending) = (PeerPage::new(), CancellationToken::new());
        Self(Arc::new(Connection { peer, unsent, page, ending }))
    }
}

impl Deref for Caller {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}
