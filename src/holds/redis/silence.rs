//! Connections whose other end acknowledges what it gets and says nothing, such as a server that was stopped, or a
//! proxy that lost it. TCP takes them for alive, and fred's own check for them begins anew with every call. Here, one
//! that has answered no call in time for long is replaced.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;

/// What is known of the silence of each connection. A clone is another handle to the same.
#[derive(Clone)]
pub(super) struct Silences {
    patience: Duration,
    /// By the id that fred gives its client.
    connections: Arc<Mutex<HashMap<String, Silence>>>,
}

#[derive(Default)]
struct Silence {
    /// When the first call began that was not answered in time, if none was answered since.
    since: Option<Instant>,
    is_being_replaced: bool,
    /// Calls that began before say nothing about the connection that there is now.
    replaced: Option<Instant>,
}

impl Silences {
    /// A connection that is silent for longer than `patience` is replaced.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, connections: Arc::default() }
    }

    /// Makes a call by way of a connection, and notes whether it was answered. When a connection is replaced, calls
    /// that are on their way over it fail.
    pub(super) async fn watch<T>(
        &self,
        client: &Client,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let result = call.await;
        let is_late = matches!(&result, Err(error) if *error.kind() == ErrorKind::Timeout);
        if self.note(client.id(), begun, is_late) {
            tracing::warn!("a connection to Redis fell silent: it is replaced");
            let (silences, client) = (self.clone(), client.clone());
            tokio::spawn(async move {
                // If there is no other to be had, fred tries again by itself.
                let _ = client.force_reconnection().await;
                let mut connections = silences.connections();
                let silence = connections.entry(client.id().to_owned()).or_default();
                *silence = Silence { since: None, is_being_replaced: false, replaced: Some(Instant::now()) };
            });
        }
        result
    }

    /// Whether the connection must be replaced. It is said once: to replace it twice would cut the new one.
    fn note(&self, connection: &str, begun: Instant, is_late: bool) -> bool {
        let mut connections = self.connections();
        if !is_late {
            if let Some(silence) = connections.get_mut(connection) {
                silence.since = None;
            }
            return false;
        }
        let silence = connections.entry(connection.to_owned()).or_default();
        if silence.is_being_replaced || silence.replaced.is_some_and(|replaced| begun < replaced) {
            return false;
        }
        silence.is_being_replaced = silence.since.get_or_insert(begun).elapsed() > self.patience;
        silence.is_being_replaced
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<String, Silence>> {
        // Whoever holds it makes one change.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_connection_is_replaced_once_and_then_trusted_again() {
        let silences = Silences::new(Duration::from_secs(2));
        let (now, long_ago) = (Instant::now(), Instant::now() - Duration::from_secs(3));
        assert!(!silences.note("a", now, true), "it is silent for no time");
        assert!(!silences.note("a", long_ago, true), "the first that was late counts");
        assert!(!silences.note("a", now, false));
        assert!(silences.note("a", long_ago, true), "nothing was answered for long");
        assert!(!silences.note("a", long_ago, true), "it is being replaced");
        assert!(!silences.note("b", now, true), "another one");
        let replaced = Silence { replaced: Some(now), ..Silence::default() };
        silences.connections().insert("a".into(), replaced);
        assert!(!silences.note("a", long_ago, true), "that was about the old one");
        assert!(!silences.note("a", Instant::now(), true), "the new one is silent for no time");
    }
}
