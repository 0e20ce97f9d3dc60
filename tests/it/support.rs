//! What tests share.

use std::time::Duration;

use stockhold_servers::patience::within;

pub(crate) mod client;
pub(crate) mod database;
pub(crate) mod deaf;
pub(crate) mod galera;
pub(crate) mod holds;
pub(crate) mod http2;
pub(crate) mod memory_database;
pub(crate) mod memory_service;
pub(crate) mod redis;
pub(crate) mod served;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod session;
pub(crate) mod site;
pub(crate) mod test_store;

/// The value of a variable that `tests/run` sets. Tests that need a server never skip: they fail and say what to do.
pub(crate) fn required(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: use tests/run, which starts the servers"))
}

/// Waits until something is true, and fails after `bound`.
pub(crate) async fn eventually(what: &str, bound: Duration, is_true: impl AsyncFnMut() -> bool) {
    assert!(within(bound, is_true).await.is_some(), "not within {bound:?}: {what}");
}
