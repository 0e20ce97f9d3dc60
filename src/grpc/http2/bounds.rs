//! The bounds of connections: those that can be set, and those that need not be.

use std::time::Duration;

/// How long a peer may take, from when it is accepted, to send the preface of HTTP/2. Clients send it at once.
const PREFACE_MAX: Duration = Duration::from_secs(5);

/// A peer that vanished without a word is noticed after this and [`PONG_MAX`].
const PING_EVERY: Duration = Duration::from_secs(30);

/// How long a peer may take to answer a ping.
const PONG_MAX: Duration = Duration::from_secs(10);

/// How long a caller may read nothing of what is sent to them, before they lose it.
const STALL_MAX: Duration = Duration::from_secs(10);

/// The bounds of connections.
#[derive(Clone, Debug)]
pub struct ConnectionsConfig {
    /// How many may be open at once.
    pub connections_max: usize,
    /// After how long without a call one is closed.
    pub idle_max: Duration,
    /// After how long one is closed, when its calls are done. It is a tenth more or less for each, so that not all end
    /// at once.
    pub age_max: Duration,
    /// How long a peer may take to begin to speak HTTP/2.
    pub preface_max: Duration,
    /// How often a peer is asked whether it is there.
    pub ping_every: Duration,
    /// How long it may take to answer that.
    pub pong_max: Duration,
    /// How long a caller may read nothing of what is sent to them.
    pub stall_max: Duration,
}

impl ConnectionsConfig {
    /// With what need not be set.
    pub fn new(connections_max: usize, idle_max: Duration, age_max: Duration) -> Self {
        Self {
            connections_max,
            idle_max,
            age_max,
            preface_max: PREFACE_MAX,
            ping_every: PING_EVERY,
            pong_max: PONG_MAX,
            stall_max: STALL_MAX,
        }
    }
}
