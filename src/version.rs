//! Which build this is.

/// The version and the commit that it is built from, such as `0.1.0 (341614a0c2d1)`.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("STOCKHOLD_COMMIT"), ")");
