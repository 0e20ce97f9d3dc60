//! A cell: one thing that is measured once in every round.

use std::fmt;

use crate::before::Before;
use crate::ceiling::redis::Script;
use crate::pace::Pace;
use crate::shape::Shape;
use crate::system::System;
use crate::way::Way;
use crate::workload::Workload;

/// One thing to measure.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// A system under a load.
    Load { system: System, load: Load },
    /// The memory that live holds of this many lines take in Redis.
    Holds { lines: usize, holds: usize },
    /// A minimal script, sent to Redis directly, for this many orders a call.
    RedisScript { script: Script, orders: usize, calls: usize },
    /// Group commits of this many orders, sent to MySQL directly by this many workers at a time.
    GroupCommit { orders: usize, workers: usize },
    /// Round trips to Redis, one after the other.
    RedisPing,
}

/// What callers do to a system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) workload: Workload,
    pub(crate) shape: Shape,
    pub(crate) way: Way,
    pub(crate) pace: Pace,
    pub(crate) before: Before,
}

impl Cell {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Load { system, load } => format!("{} {load}", system.name()),
            Self::Holds { lines, holds } => format!("memory of {holds} holds, lines each: {lines}"),
            Self::RedisScript { script, orders, calls } => format!("ceiling redis {script}, {orders} a call, x{calls}"),
            Self::GroupCommit { orders, workers } => {
                format!("ceiling mysql commit, {orders} a transaction, x{workers}")
            }
            Self::RedisPing => "ceiling redis ping, x1".to_owned(),
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, shape, way, pace, before } = self;
        write!(f, "{workload} {way} {shape}, {pace}{before}")
    }
}
