//! The connection that a request came over. Every request carries its [`Peer`] among its extensions, so that bounds can
//! be kept for each connection, and its [`Ending`], so that what stays open for long ends with its connection.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

/// One connection of a caller.
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

/// Cancelled when no further request can begin on the connection. It ends when those under way are done.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending(pub(super) CancellationToken);
