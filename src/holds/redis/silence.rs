//! Connections whose other end acknowledges what it gets and says nothing, such as a server that was stopped, or a proxy that lost it. TCP takes
//! them for alive, and fred's own check for them begins anew with every call. Here, one that has answered no call in time for long is replaced.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;

/// Since when each connection that owes answers has been silent, by the id that fred gives its client.
#[derive(Default)]
pub(super) struct Silences(Mutex<HashMap<String, Instant>>);

impl Silences {
    /// Notes what became of a call that began then. A connection that has been silent for longer than `patience` is replaced; calls that are on their way
    /// over it fail.
    pub(super) fn note<T>(&self, client: &Client, begun: Instant, result: &Result<T, Error>, patience: Duration) {
        let timed_out = matches!(result, Err(error) if *error.kind() == ErrorKind::Timeout);
        // Every change is a single one.
        let mut silences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !timed_out {
            silences.remove(client.id());
        } else if silences.entry(client.id().to_owned()).or_insert(begun).elapsed() > patience {
            silences.remove(client.id());
            tracing::warn!("a connection to Redis fell silent: it is replaced");
            let client = client.clone();
            // If there is no other to be had, fred tries again by itself.
            tokio::spawn(async move { client.force_reconnection().await });
        }
    }
}
