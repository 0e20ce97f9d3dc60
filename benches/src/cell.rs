//! A cell: one thing that is measured once in every round.

use std::fmt;
use std::time::Duration;

use crate::before::Before;
use crate::ceiling::redis::Script;
use crate::system::System;
use crate::way::Way;
use crate::workload::Workload;

/// One thing to measure.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// A system under a load.
    Load { system: System, load: Load },
    /// What live holds of so many lines cost in Redis.
    Holds { lines: usize, holds: usize },
    /// One of the cheapest scripts straight at Redis, for so many orders a call.
    RedisScript { script: Script, orders: usize, calls: usize },
    /// Group commits of so many orders straight at MySQL, by so many workers at a time.
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

/// What there is to reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) locations: usize,
    /// In each location.
    pub(crate) skus: usize,
}

/// When the next operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// So many callers, each with its next operation when the one before is over.
    Closed { callers: usize },
    /// So many operations a second, however long the others take. Latency counts from the time that was meant.
    Open { per_second: u32 },
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

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { locations: 1, skus: 1 } => f.write_str("hot"),
            Self { locations: 1, skus } => write!(f, "{skus} skus"),
            Self { locations, skus: _ } => write!(f, "{locations} locations"),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { callers } => write!(f, "x{callers}"),
            Self::Open { per_second } => write!(f, "{per_second}/s"),
        }
    }
}

/// How long a cell is warmed up, and then measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spans {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// More callers than this need longer until each has had an answer.
const CALLERS_USUAL_MAX: usize = 1024;

impl Spans {
    /// Twice as long for a throng.
    pub(crate) fn of(self, pace: Pace) -> Self {
        match pace {
            Pace::Closed { callers } if callers > CALLERS_USUAL_MAX => {
                Self { warm_up: 2 * self.warm_up, measured: 2 * self.measured }
            }
            Pace::Closed { .. } | Pace::Open { .. } => self,
        }
    }
}
