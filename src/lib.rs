//! stockhold: gRPC inventory reservations.
//!
//! In reading order, each module using only those above it (`tests/it/architecture.rs` holds it to that):
//!
//! - [`domain`]: the words and the rules that need no store.
//! - [`holds`]: the holds' store, in Redis or in this process.
//!
//! Deliberately absent: a counter of available units, anywhere. It is derived, so it cannot drift.

pub mod domain;

pub mod holds;
