//! What is expected: a table of targets. Each is a formula over figures of the same round, so that the machine cancels
//! out where it can. The median over the rounds counts.

use crate::before::Before;
use crate::ceiling::redis::Script;
use crate::cell::Cell;
use crate::figures::Spread;
use crate::plan::{
    BATCH, CALLS, COMMITTERS, CROWD, FEW_HOLDS, HOT, MANY_HOLDS, SWARM, THRONG, after, closed, together,
};
use crate::results::{Results, Round};
use crate::system::System;
use crate::way::Way;
use crate::workload::Workload;
use Bound::{AtLeast, AtMost};

/// A target.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) formula: &'static str,
    pub(crate) bound: Bound,
    value: fn(&Round) -> Option<f64>,
}

/// The bound of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "orders against the naive peer",
        formula: "orders/s on one hot sku, 256 in flight, / those of peer-mysql",
        bound: AtLeast(12.0),
        value: |round| ratio(orders_per_s(round, System::Service), orders_per_s(round, System::MysqlPeer)),
    },
    Target {
        name: "orders against the flash-sale peer",
        formula: "orders/s on one hot sku, 256 in flight, / those of peer-seckill",
        bound: AtLeast(8.0),
        value: |round| ratio(orders_per_s(round, System::Service), orders_per_s(round, System::SeckillPeer)),
    },
    Target {
        name: "confirm p99 against the naive peer",
        formula: "confirm p99 on one hot sku, 256 in flight, / that of peer-mysql",
        bound: AtMost(1.0),
        value: |round| ratio(confirm_p99(round, System::Service), confirm_p99(round, System::MysqlPeer)),
    },
    Target {
        name: "confirm p99 against the flash-sale peer",
        formula: "confirm p99 on one hot sku, 256 in flight, / that of peer-seckill",
        bound: AtMost(1.0),
        value: |round| ratio(confirm_p99(round, System::Service), confirm_p99(round, System::SeckillPeer)),
    },
    Target {
        name: "reserves against empty calls",
        formula: "reserves/s on one hot sku, 256 in flight, / empty RPCs/s, 256 in flight",
        bound: AtLeast(0.6),
        value: |round| {
            let reserves = round.figure(&service(Workload::Reserve, CROWD), "accepted_per_s");
            ratio(reserves, empty(round, CROWD, "accepted_per_s"))
        },
    },
    Target {
        name: "refusals against empty calls",
        formula: "sold-out refusals/s, 256 in flight, / empty RPCs/s, 256 in flight",
        bound: AtLeast(0.65),
        value: |round| {
            let refusals = round.figure(&service(Workload::SoldOut, CROWD), "refused_per_s");
            ratio(refusals, empty(round, CROWD, "accepted_per_s"))
        },
    },
    Target {
        name: "orders of 256 callers of the client",
        formula: "orders/s on one hot sku through the batching client, 256 callers",
        bound: AtLeast(30_000.0),
        value: |round| shared_per_s(round, CROWD),
    },
    Target {
        name: "256 callers of the client against unary",
        formula: "orders/s on one hot sku through the batching client / those of one call each, 256 callers",
        bound: AtLeast(1.8),
        value: |round| ratio(shared_per_s(round, CROWD), orders_per_s(round, System::Service)),
    },
    Target {
        name: "orders of 1,024 callers of the client",
        formula: "orders/s on one hot sku through the batching client, 1,024 callers",
        bound: AtLeast(50_000.0),
        value: |round| shared_per_s(round, SWARM),
    },
    Target {
        name: "1,024 callers of the client against unary",
        formula: "orders/s on one hot sku through the batching client, 1,024 callers, \
                  / those of one call each, 256 callers",
        bound: AtLeast(2.8),
        value: |round| ratio(shared_per_s(round, SWARM), orders_per_s(round, System::Service)),
    },
    Target {
        name: "the client against the ceiling of the stores",
        formula: "orders/s on one hot sku through the batching client, 1,024 callers, \
                  / those of the slower store alone",
        bound: AtLeast(0.6),
        value: |round| {
            let order = Cell::RedisScript { script: Script::Order, orders: BATCH, calls: CALLS };
            let commit = Cell::GroupCommit { orders: BATCH, workers: COMMITTERS };
            let [redis, mysql] = [order, commit].map(|cell| round.figure(&cell, "confirmed_per_s"));
            ratio(shared_per_s(round, SWARM), Some(redis?.min(mysql?)))
        },
    },
    Target {
        name: "a lone Reserve",
        formula: "reserve p50 / (empty RPC p50 + one Redis round trip p50), one caller",
        bound: AtMost(1.3),
        value: |round| {
            let least = sum(&[empty(round, 1, "reserve_p50_us"), ping_p50(round)]);
            ratio(round.figure(&service(Workload::Reserve, 1), "reserve_p50_us"), least)
        },
    },
    Target {
        name: "a lone Confirm",
        formula: "confirm p50 / (empty RPC p50 + two Redis round trips p50 + one commit of three statements p50), \
                  one caller",
        bound: AtMost(1.3),
        value: |round| {
            let commit = round.figure(&Cell::GroupCommit { orders: 1, workers: 1 }, "call_p50_us");
            let least = sum(&[empty(round, 1, "reserve_p50_us"), ping_p50(round), ping_p50(round), commit]);
            ratio(round.figure(&service(Workload::Order, 1), "confirm_p50_us"), least)
        },
    },
    Target {
        name: "reserves with a million live holds",
        formula: "reserves/s with 1,000 live holds / those with 1,000,000, 256 in flight",
        bound: AtMost(1.15),
        value: |round| growth(round, Workload::Reserve),
    },
    Target {
        name: "orders with a million live holds",
        formula: "orders/s with 1,000 live holds / those with 1,000,000, 256 in flight",
        bound: AtMost(1.15),
        value: |round| growth(round, Workload::Order),
    },
    Target {
        name: "refusals with a million live holds",
        formula: "refusals/s with 1,000 live holds / those with 1,000,000, 256 in flight",
        bound: AtMost(1.15),
        value: |round| growth(round, Workload::SoldOut),
    },
    Target {
        name: "a million holds that expire",
        formula: "orders/s on one hot sku, 256 in flight, while 1,000,000 holds expire / without",
        bound: AtLeast(0.7),
        value: |round| {
            let expiring = round.figure(&after(Workload::Order, Before::Expiring(MANY_HOLDS)), "confirmed_per_s");
            ratio(expiring, orders_per_s(round, System::Service))
        },
    },
    Target {
        name: "Redis memory of a hold",
        formula: "bytes of Redis a live hold of one line",
        bound: AtMost(310.0),
        value: |round| {
            let holds = round.cells().find(|cell| matches!(cell, Cell::Holds { lines: 1, .. }))?;
            round.figure(holds, "redis_bytes_per_hold")
        },
    },
    Target {
        name: "memory of the service",
        formula: "peak resident memory of the service, MB, the larger of reserving and ordering, 4096 callers",
        bound: AtMost(150.0),
        value: |round| {
            let peak = |workload| round.figure(&service(workload, THRONG), "server_resident_peak_mb");
            Some(peak(Workload::Reserve)?.max(peak(Workload::Order)?))
        },
    },
];

impl Target {
    /// The value over all rounds, unless one of its figures was not measured.
    pub(crate) fn value(&self, results: &Results) -> Option<Spread> {
        results.over_rounds(self.value)
    }
}

impl Bound {
    pub(crate) fn is_met_by(self, value: f64) -> bool {
        match self {
            AtLeast(least) => value >= least,
            AtMost(most) => value <= most,
        }
    }
}

fn service(workload: Workload, callers: usize) -> Cell {
    closed(System::Service, workload, HOT, callers)
}

/// Orders of callers who share the client.
fn shared_per_s(round: &Round, callers: usize) -> Option<f64> {
    round.figure(&together(Workload::Order, Way::Session, callers), "confirmed_per_s")
}

fn orders_per_s(round: &Round, system: System) -> Option<f64> {
    round.figure(&closed(system, Workload::Order, HOT, CROWD), "confirmed_per_s")
}

fn confirm_p99(round: &Round, system: System) -> Option<f64> {
    round.figure(&closed(system, Workload::Order, HOT, CROWD), "confirm_p99_us")
}

fn empty(round: &Round, callers: usize, figure: &str) -> Option<f64> {
    round.figure(&closed(System::EmptyRpc, Workload::Reserve, HOT, callers), figure)
}

/// How many times faster something is with few live holds than with many.
fn growth(round: &Round, workload: Workload) -> Option<f64> {
    let [few, many] =
        [FEW_HOLDS, MANY_HOLDS].map(|holds| round.figure(&after(workload, Before::Live(holds)), "operations_per_s"));
    ratio(few, many)
}

fn ping_p50(round: &Round) -> Option<f64> {
    round.figure(&Cell::RedisPing, "call_p50_us")
}

fn ratio(value: Option<f64>, base: Option<f64>) -> Option<f64> {
    Some(value? / base?)
}

fn sum(values: &[Option<f64>]) -> Option<f64> {
    values.iter().copied().sum()
}
