//! What is measured: the cells of the quick and of the full bench, in the order of each round.

use crate::before::Before;
use crate::ceiling::redis::Script;
use crate::cell::{Cell, Load};
use crate::pace::Pace;
use crate::shape::Shape;
use crate::system::System;
use crate::way::Way;
use crate::workload::Workload;

/// One hot sku.
pub(crate) const HOT: Shape = Shape { locations: 1, skus: 1 };

/// A catalogue in one location.
pub(crate) const CATALOGUE: Shape = Shape { locations: 1, skus: 1000 };

/// Callers in flight where systems are compared.
pub(crate) const CROWD: usize = 256;

/// Callers in flight where they share a stream.
pub(crate) const SWARM: usize = 1024;

/// The most callers in flight.
pub(crate) const THRONG: usize = 4096;

/// Orders in one call or transaction of the ceilings: the service's batch.
pub(crate) const BATCH: usize = 128;

/// Calls in flight: Redis works on one while the others travel.
pub(crate) const CALLS: usize = 4;

/// Group commits at a time, as the service does with its default pool.
pub(crate) const COMMITTERS: usize = 2;

/// Orders a second that every system can take.
const OPEN_SLOW_PER_S: u32 = 100;

/// Orders a second that only a batching system can take.
const OPEN_FAST_PER_S: u32 = 1500;

/// Few live holds, and many.
pub(crate) const FEW_HOLDS: usize = 1000;
pub(crate) const MANY_HOLDS: usize = 1_000_000;

/// What is measured with few and with many live holds.
pub(crate) const GROWING: [Workload; 3] = [Workload::Reserve, Workload::Order, Workload::SoldOut];

/// All cells of a round.
pub(crate) fn cells(is_quick: bool) -> Vec<Cell> {
    let peers = [System::MysqlPeer, System::SeckillPeer];
    let (few, many): (&[usize], &[usize]) = if is_quick {
        (&[1, CROWD], &[1, CROWD, THRONG])
    } else {
        (&[1, 16, 64, CROWD, 1024], &[1, 16, 64, CROWD, 1024, THRONG])
    };
    let shared: &[usize] = if is_quick { &[CROWD, SWARM] } else { &[1, 64, CROWD, SWARM, THRONG] };
    let locations = Shape { locations: if is_quick { 100 } else { 1000 }, skus: 1 };
    let holds = if is_quick { 25_600 } else { 102_400 };
    let mut cells = Vec::new();

    cells.push(Cell::RedisPing);
    cells.push(Cell::GroupCommit { orders: 1, workers: 1 });
    cells.push(Cell::GroupCommit { orders: BATCH, workers: COMMITTERS });
    for script in [Script::Reserve, Script::Order] {
        cells.push(Cell::RedisScript { script, orders: BATCH, calls: CALLS });
    }
    cells.extend([1, CROWD].map(|callers| closed(System::EmptyRpc, Workload::Reserve, HOT, callers)));

    for workload in [Workload::Reserve, Workload::Order] {
        cells.extend(many.iter().map(|callers| closed(System::Service, workload, HOT, *callers)));
        for peer in peers {
            cells.extend(few.iter().map(|callers| closed(peer, workload, HOT, *callers)));
        }
    }
    for workload in [Workload::Reserve, Workload::Order] {
        cells.extend(shared.iter().map(|callers| together(workload, Way::Session, *callers)));
        cells.push(together(workload, Way::Many(BATCH), CROWD / BATCH));
    }
    cells.push(closed(System::Service, Workload::Order, CATALOGUE, CROWD));
    cells.push(closed(System::Service, Workload::Order, locations, CROWD));
    for workload in [Workload::SoldOut, Workload::MixedSale] {
        cells.push(closed(System::Service, workload, HOT, CROWD));
    }
    if !is_quick {
        cells.extend(peers.map(|peer| closed(peer, Workload::Order, CATALOGUE, CROWD)));
        for workload in [Workload::SoldOut, Workload::MixedSale] {
            cells.extend(peers.map(|peer| closed(peer, workload, HOT, CROWD)));
        }
    }
    cells.push(closed(System::Service, Workload::Cart, CATALOGUE, CROWD));

    cells.push(open(System::Service, OPEN_SLOW_PER_S));
    cells.extend(peers.map(|peer| open(peer, OPEN_SLOW_PER_S)));
    cells.push(open(System::Service, OPEN_FAST_PER_S));
    cells.extend([1, 5].map(|lines| Cell::Holds { lines, holds }));
    if !is_quick {
        cells.extend(growth());
    }
    cells
}

/// The cost of operations over much data, which takes long to make.
fn growth() -> Vec<Cell> {
    let many_skus = Shape { locations: 1, skus: 1_000_000 };
    let mut cells = Vec::new();
    for workload in GROWING {
        cells.extend([FEW_HOLDS, MANY_HOLDS].map(|holds| after(workload, Before::Live(holds))));
    }
    cells.push(after(Workload::Order, Before::Live(2 * MANY_HOLDS)));
    cells.push(after(Workload::Order, Before::Expiring(MANY_HOLDS)));
    cells.push(closed(System::Service, Workload::Order, many_skus, CROWD));
    cells.extend([1_000_000, 10_000_000].map(|settlements| after(Workload::Order, Before::Settled(settlements))));
    cells
}

/// Many callers of a service that has data already.
pub(crate) fn after(workload: Workload, before: Before) -> Cell {
    let pace = Pace::Closed { callers: CROWD };
    Cell::Load { system: System::Service, load: Load { workload, shape: HOT, way: Way::Unary, pace, before } }
}

/// Callers who wait for their answers, one call each.
pub(crate) fn closed(system: System, workload: Workload, shape: Shape, callers: usize) -> Cell {
    Cell::Load {
        system,
        load: Load { workload, shape, way: Way::Unary, pace: Pace::Closed { callers }, before: Before::Nothing },
    }
}

/// Callers of the service whose operations share calls.
pub(crate) fn together(workload: Workload, way: Way, callers: usize) -> Cell {
    Cell::Load {
        system: System::Service,
        load: Load { workload, shape: HOT, way, pace: Pace::Closed { callers }, before: Before::Nothing },
    }
}

fn open(system: System, per_second: u32) -> Cell {
    let pace = Pace::Open { per_second };
    Cell::Load {
        system,
        load: Load { workload: Workload::Order, shape: HOT, way: Way::Unary, pace, before: Before::Nothing },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_cell_has_a_name_of_its_own() {
        for is_quick in [true, false] {
            let cells = cells(is_quick);
            assert_eq!(cells.iter().map(Cell::name).collect::<BTreeSet<_>>().len(), cells.len());
        }
    }
}
