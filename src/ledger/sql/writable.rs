//! Whether it is in doubt that the database takes writes.
//!
//! A server answers pings while it is read-only, while its disk is full, and while its commits hang. So there is doubt
//! at first, and after every transaction that the database refused for such a reason or did not answer. A commit ends
//! it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A clone is another handle to the same one.
#[derive(Clone, Default)]
pub(super) struct Writable(Arc<AtomicBool>);

impl Writable {
    /// True if the last transaction that ended has shown that the database takes writes.
    pub(super) fn is_proved(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn doubt(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(super) fn proved(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
