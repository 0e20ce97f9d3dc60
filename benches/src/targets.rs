//! What shall come out: a table of targets, each a formula over medians of the same run, so that the machine cancels out where it can.

use crate::before::Before;
use crate::ceiling::redis::Script;
use crate::cell::Cell;
use crate::plan::{
    BATCH, CALLS, COMMITTERS, CROWD, FEW_HOLDS, GROWING, HOT, MANY_HOLDS, SWARM, THRONG, after, closed, together,
};
use crate::results::Results;
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
    value: fn(&Results) -> Option<f64>,
}

/// Where a value shall lie.
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
        value: |results| ratio(orders_per_s(results, System::Service), orders_per_s(results, System::MysqlPeer)),
    },
    Target {
        name: "orders against the flash-sale peer",
        formula: "orders/s on one hot sku, 256 in flight, / those of peer-seckill",
        bound: AtLeast(8.0),
        value: |results| ratio(orders_per_s(results, System::Service), orders_per_s(results, System::SeckillPeer)),
    },
    Target {
        name: "confirm p99 against the naive peer",
        formula: "confirm p99 on one hot sku, 256 in flight, / that of peer-mysql",
        bound: AtMost(1.0),
        value: |results| ratio(confirm_p99(results, System::Service), confirm_p99(results, System::MysqlPeer)),
    },
    Target {
        name: "confirm p99 against the flash-sale peer",
        formula: "confirm p99 on one hot sku, 256 in flight, / that of peer-seckill",
        bound: AtMost(1.0),
        value: |results| ratio(confirm_p99(results, System::Service), confirm_p99(results, System::SeckillPeer)),
    },
    Target {
        name: "reserves against empty calls",
        formula: "reserves/s on one hot sku, 256 in flight, / empty RPCs/s, 256 in flight",
        bound: AtLeast(0.6),
        value: |results| {
            let reserves = results.median(&service(Workload::Reserve, CROWD), "accepted_per_s");
            ratio(reserves, empty(results, CROWD, "accepted_per_s"))
        },
    },
    Target {
        name: "refusals against empty calls",
        formula: "sold-out refusals/s, 256 in flight, / empty RPCs/s, 256 in flight",
        bound: AtLeast(0.65),
        value: |results| {
            let refusals = results.median(&service(Workload::SoldOut, CROWD), "refused_per_s");
            ratio(refusals, empty(results, CROWD, "accepted_per_s"))
        },
    },
    Target {
        name: "orders of 256 callers of the client",
        formula: "orders/s on one hot sku through the batching client, 256 callers",
        bound: AtLeast(30_000.0),
        value: |results| shared_per_s(results, CROWD),
    },
    Target {
        name: "256 callers of the client against unary",
        formula: "orders/s on one hot sku through the batching client / those of one call each, 256 callers",
        bound: AtLeast(1.8),
        value: |results| ratio(shared_per_s(results, CROWD), orders_per_s(results, System::Service)),
    },
    Target {
        name: "orders of 1,024 callers of the client",
        formula: "orders/s on one hot sku through the batching client, 1,024 callers",
        bound: AtLeast(50_000.0),
        value: |results| shared_per_s(results, SWARM),
    },
    Target {
        name: "1,024 callers of the client against unary",
        formula: "orders/s on one hot sku through the batching client, 1,024 callers, / those of one call each, 256 callers",
        bound: AtLeast(2.8),
        value: |results| ratio(shared_per_s(results, SWARM), orders_per_s(results, System::Service)),
    },
    Target {
        name: "the client against the ceiling of the stores",
        formula: "orders/s on one hot sku through the batching client, 1,024 callers, / those of the slower store alone",
        bound: AtLeast(0.6),
        value: |results| {
            let order = Cell::RedisScript { script: Script::Order, orders: BATCH, calls: CALLS };
            let commit = Cell::GroupCommit { orders: BATCH, workers: COMMITTERS };
            let [redis, mysql] = [order, commit].map(|cell| results.median(&cell, "confirmed_per_s"));
            ratio(shared_per_s(results, SWARM), Some(redis?.min(mysql?)))
        },
    },
    Target {
        name: "a lone Reserve",
        formula: "reserve p50 / (empty RPC p50 + one Redis round trip p50), one caller",
        bound: AtMost(1.3),
        value: |results| {
            let least = sum(&[empty(results, 1, "reserve_p50_us"), ping_p50(results)]);
            ratio(results.median(&service(Workload::Reserve, 1), "reserve_p50_us"), least)
        },
    },
    Target {
        name: "a lone Confirm",
        formula: "confirm p50 / (empty RPC p50 + two Redis round trips p50 + one commit of three statements p50), one caller",
        bound: AtMost(1.3),
        value: |results| {
            let commit = results.median(&Cell::GroupCommit { orders: 1, workers: 1 }, "call_p50_us");
            let least = sum(&[empty(results, 1, "reserve_p50_us"), ping_p50(results), ping_p50(results), commit]);
            ratio(results.median(&service(Workload::Order, 1), "confirm_p50_us"), least)
        },
    },
    Target {
        name: "a million live holds",
        formula: "operations/s with 1,000 live holds / those with 1,000,000, the largest of reserves, orders and refusals, 256 in flight",
        bound: AtMost(1.15),
        value: |results| {
            let per_s = |workload, holds| results.median(&after(workload, Before::Live(holds)), "operations_per_s");
            let ratios = GROWING.map(|workload| ratio(per_s(workload, FEW_HOLDS), per_s(workload, MANY_HOLDS)));
            ratios.into_iter().collect::<Option<Vec<_>>>()?.into_iter().reduce(f64::max)
        },
    },
    Target {
        name: "a million holds that expire",
        formula: "orders/s on one hot sku, 256 in flight, while 1,000,000 holds expire / without",
        bound: AtLeast(0.7),
        value: |results| {
            let expiring = results.median(&after(Workload::Order, Before::Expiring(MANY_HOLDS)), "confirmed_per_s");
            ratio(expiring, orders_per_s(results, System::Service))
        },
    },
    Target {
        name: "Redis memory of a hold",
        formula: "bytes of Redis a live hold of one line",
        bound: AtMost(310.0),
        value: |results| {
            let cells = results.cells.iter().map(|cell| &cell.cell);
            let mut holds = cells.filter(|cell| matches!(cell, Cell::Holds { lines: 1, .. }));
            results.median(holds.next()?, "redis_bytes_per_hold")
        },
    },
    Target {
        name: "memory of the service",
        formula: "peak resident memory of the service, MB, the larger of reserving and ordering, 4096 callers",
        bound: AtMost(150.0),
        value: |results| {
            let peak = |workload| results.median(&service(workload, THRONG), "server_resident_peak_mb");
            Some(peak(Workload::Reserve)?.max(peak(Workload::Order)?))
        },
    },
];

impl Target {
    /// The value, unless something that it needs was not measured.
    pub(crate) fn value(&self, results: &Results) -> Option<f64> {
        (self.value)(results)
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
fn shared_per_s(results: &Results, callers: usize) -> Option<f64> {
    results.median(&together(Workload::Order, Way::Session, callers), "confirmed_per_s")
}

fn orders_per_s(results: &Results, system: System) -> Option<f64> {
    results.median(&closed(system, Workload::Order, HOT, CROWD), "confirmed_per_s")
}

fn confirm_p99(results: &Results, system: System) -> Option<f64> {
    results.median(&closed(system, Workload::Order, HOT, CROWD), "confirm_p99_us")
}

fn empty(results: &Results, callers: usize, figure: &str) -> Option<f64> {
    results.median(&closed(System::EmptyRpc, Workload::Reserve, HOT, callers), figure)
}

fn ping_p50(results: &Results) -> Option<f64> {
    results.median(&Cell::RedisPing, "call_p50_us")
}

fn ratio(value: Option<f64>, base: Option<f64>) -> Option<f64> {
    Some(value? / base?)
}

fn sum(values: &[Option<f64>]) -> Option<f64> {
    values.iter().copied().sum()
}
