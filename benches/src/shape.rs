//! What there is to reserve: how many locations and skus.

use std::fmt;

/// What there is to reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) locations: usize,
    /// In each location.
    pub(crate) skus: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { locations: 1, skus: 1 } => f.write_str("hot"),
            Self { locations: 1, skus } => write!(f, "{skus} skus"),
            Self { locations, skus: _ } => write!(f, "{locations} locations"),
        }
    }
}
