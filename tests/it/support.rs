//! What tests share.

use std::time::{Duration, Instant};

pub(crate) mod client;
pub(crate) mod database;
pub(crate) mod deaf;
pub(crate) mod galera;
pub(crate) mod holds;
pub(crate) mod memory_database;
pub(crate) mod memory_service;
pub(crate) mod redis;
pub(crate) mod road;
pub(crate) mod served;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod session;
pub(crate) mod site;

/// The value of a variable that `tests/run` sets. Tests that need a server never skip: they fail and say what to do.
pub(crate) fn required(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: use tests/run, which starts the servers"))
}

/// Waits until something is true, and fails after `bound`.
pub(crate) async fn eventually(what: &str, bound: Duration, mut is_true: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !is_true().await {
        assert!(begin.elapsed() < bound, "not within {bound:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
