//! The connections to Redis, each kept alive by a task of its own.
//!
//! A connection is a client of fred, which reconnects by itself when TCP says that a connection is lost. Two faults are
//! found here, because fred does not find them. For both the client is replaced by a new one:
//! - The client's routing task has ended. fred 10.1 ends it upon errors that it takes for final (`router/commands.rs`,
//!   `start`), and the client may still say that it is connected. Every call over it would wait for its timeout.
//! - The connection is silent, see `silence.rs`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::ClientLike;
use fred::types::ConnectHandle;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, Server, ServerConfig,
    TcpConfig,
};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use super::config::RedisConfig;
use super::error::{DROPS_THE_CONNECTION, why_not_connected, words};
use super::silence::Silence;
use crate::holds::HoldsError;

/// A peer that acknowledges nothing, or answers nothing, for so long is dead. Without it, a cut link is noticed after a
/// quarter of an hour.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls that wait for one connection; beyond it they fail at once.
const COMMANDS_QUEUED_MAX: usize = 10_000;

/// A client that cannot stay is replaced no more often than this.
const REPLACED_EVERY_MIN: Duration = Duration::from_millis(500);

/// All connections to one Redis.
pub(super) struct Connections {
    kept: Vec<Arc<Kept>>,
    /// Counts the calls that may go over any connection.
    calls: AtomicUsize,
    /// Dropping them closes the connections.
    _keepers: JoinSet<()>,
}

/// A connection as it is now.
struct Kept(RwLock<Arc<Connection>>);

/// A client of fred until it is replaced.
pub(super) struct Connection {
    client: Client,
    silence: Silence,
}

impl Connections {
    /// Opens all of them, or says why not.
    pub(super) async fn open(config: &RedisConfig) -> Result<Self, HoldsError> {
        let settings = Arc::new(Settings::of(config)?);
        let (mut kept, mut keepers) = (Vec::new(), JoinSet::new());
        for _ in 0..config.pool_size {
            let connection = settings.connection(true, Vec::new());
            let routing = connection.client.init().await;
            let routing = routing.map_err(|error| why_not_connected(&error))?;
            let one = Arc::new(Kept(RwLock::new(Arc::new(connection))));
            keepers.spawn(keep(Arc::clone(&one), Arc::clone(&settings), routing));
            kept.push(one);
        }
        Ok(Self { kept, calls: AtomicUsize::new(0), _keepers: keepers })
    }

    /// The connection of everything that has this hash, so that its calls arrive in the order in which they are made.
    /// Another one while it is down.
    pub(super) fn of(&self, hash: u64) -> Result<Arc<Connection>, HoldsError> {
        let first = (hash % self.kept.len().max(1) as u64) as usize;
        self.up_from(first)
    }

    /// A connection that is up.
    pub(super) fn any(&self) -> Result<Arc<Connection>, HoldsError> {
        self.up_from(self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// The first that is up, from this one on. Calls over one that is down would wait for it until their timeout.
    fn up_from(&self, first: usize) -> Result<Arc<Connection>, HoldsError> {
        let (before, after) = self.kept.split_at(first % self.kept.len().max(1));
        let mut connections = after.iter().chain(before).map(|kept| kept.now());
        let up = connections.find(|connection| connection.client.is_connected());
        up.ok_or_else(|| HoldsError::Unavailable("not connected".into()))
    }
}

impl Connection {
    /// Makes a call over it.
    pub(super) async fn call<T>(&self, call: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, Error> {
        self.silence.watch(call(&self.client)).await
    }
}

impl Kept {
    fn now(&self) -> Arc<Connection> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, connection: Arc<Connection>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }
}

/// Replaces a connection whenever it is broken in a way that fred does not see. Calls that are on their way over it
/// fail; further ones fail at once until the new one is up.
async fn keep(kept: Arc<Kept>, settings: Arc<Settings>, routing: ConnectHandle) {
    let mut routing = AbortOnDropHandle::new(routing);
    let mut replacements = interval(REPLACED_EVERY_MIN);
    replacements.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let broken = kept.now();
        let reason = tokio::select! {
            ended = &mut routing => match ended {
                Ok(Err(error)) => format!("its task has ended: {}", words(&error)),
                Ok(Ok(())) => "its task has ended".to_owned(),
                Err(panic) => format!("its task has ended: {panic}"),
            },
            () = broken.silence.is_too_long() => "it fell silent".to_owned(),
        };
        tracing::warn!(reason, "a connection to Redis is replaced");
        let connection = Arc::new(settings.connection(false, broken.client.active_connections()));
        kept.replace(Arc::clone(&connection));
        replacements.tick().await;
        routing = AbortOnDropHandle::new(connection.client.connect());
    }
}

/// How to connect.
struct Settings {
    server: Config,
    performance: PerformanceConfig,
    connection: ConnectionConfig,
    patience: Duration,
}

impl Settings {
    fn of(config: &RedisConfig) -> Result<Self, HoldsError> {
        let unsuitable = |error: Error| HoldsError::Unsuitable(words(&error));
        let mut server = Config::from_url(&config.url).map_err(unsuitable)?;
        if let ServerConfig::Clustered { policy, .. } = &mut server.server {
            // Every node that was ever seen is asked for the slots, not those of the URL alone, which may all be gone.
            *policy = ClusterDiscoveryPolicy::UseCache;
        }
        let performance = PerformanceConfig { default_command_timeout: config.timeout, ..PerformanceConfig::default() };
        let connection = ConnectionConfig {
            connection_timeout: PEER_TIMEOUT,
            internal_command_timeout: PEER_TIMEOUT,
            // A call whose answer is lost is never repeated behind our back: it may have been executed.
            max_command_attempts: 1,
            // A redirection is an error of a call that was not executed. fred 10.1 must not follow one: to follow `ASK`
            // with a single attempt ends its routing task, and over a connection that others use it takes their answer
            // for its own.
            max_redirections: 0,
            max_command_buffer_len: COMMANDS_QUEUED_MAX,
            tcp: TcpConfig { nodelay: Some(true), user_timeout: Some(PEER_TIMEOUT), ..TcpConfig::default() },
            // What a server says after a failover: the connection must look for the new primary.
            reconnect_errors: DROPS_THE_CONNECTION.map(|(_, error)| error).into(),
            ..ConnectionConfig::default()
        };
        // One late answer is not a silence.
        let patience = PEER_TIMEOUT.max(2 * config.timeout);
        Ok(Self { server, performance, connection, patience })
    }

    /// A connection that is not open yet. If its first attempt does not succeed, it fails or tries again for ever.
    /// `known` are nodes of a cluster besides those of the URL.
    fn connection(&self, fail_fast: bool, known: Vec<Server>) -> Connection {
        let mut server = Config { fail_fast, ..self.server.clone() };
        if let ServerConfig::Clustered { hosts, .. } = &mut server.server {
            hosts.extend(known);
        }
        // Soon at first, then twice a second.
        let policy = ReconnectPolicy::new_exponential(0, 50, 500, 2);
        let client = Client::new(server, Some(self.performance.clone()), Some(self.connection.clone()), Some(policy));
        Connection { client, silence: Silence::new(self.patience) }
    }
}
