//! Schedules that a seed has found, each as a test of its own.

use std::time::Duration;

use stockhold::domain::{Adjustment, RequestId};
use stockhold::holds::embedded::Snapshot;
use tokio::time::{Instant, sleep};

use super::invariants;
use super::network::Network;
use super::supply::Supply;
use super::world::World;
use crate::support::holds::sku;

/// Longer than sync looks back, in microseconds.
const BACK_MICROS: i64 = 50_000_000;

/// While Redis was away, the database's clock went back and forth again. A change in between got a version that lay so
/// far behind the mark of sync that sync never read the row.
#[tokio::test(start_paused = true)]
async fn a_change_under_a_clock_that_went_back_reaches_the_register() {
    let world = World::calm();
    let network = Network::new(&world);
    Supply::first(&network).await;
    // Sync has come beyond the version that the change will get.
    sleep(Duration::from_secs(120)).await;
    world.change_storm(|storm| storm.holds_away_until = Instant::now() + Duration::from_secs(5));
    world.jump_ledger_clock(-BACK_MICROS);
    let change = vec![Adjustment { sku: sku("b"), delta: 3 }];
    let id = RequestId::parse("in-between").expect("an id");
    let made = network.any().service.adjust_stock(&world.locations[0], id, "found".into(), change).await;
    assert!(made.is_err(), "it was made, but not pushed: {made:?}");
    world.jump_ledger_clock(BACK_MICROS);
    sleep(Duration::from_secs(60)).await;
    invariants::when_quiet(&world);
    assert_eq!(world.take_record().violations, [""; 0]);
}

/// The database's clock went back. Then the holds' store returned to a state from before that, and was away until the
/// clock had passed the mark of that state. A change in between got a version that lay so far behind the mark that sync
/// never read the row.
#[tokio::test(start_paused = true)]
async fn a_change_under_a_clock_that_went_back_survives_a_rewind() {
    let world = World::calm();
    let network = Network::new(&world);
    Supply::first(&network).await;
    sleep(Duration::from_secs(120)).await;
    let before = world.holds.look(Snapshot::clone);
    world.jump_ledger_clock(-BACK_MICROS);
    let change = vec![Adjustment { sku: sku("b"), delta: 3 }];
    let id = RequestId::parse("in-between").expect("an id");
    network.any().service.adjust_stock(&world.locations[0], id, "found".into(), change).await.expect("is made");
    world.audit(|auditor| auditor.losses += 1);
    world.holds.restore(before);
    world.change_storm(|storm| storm.holds_away_until = Instant::now() + Duration::from_secs(60));
    sleep(Duration::from_secs(120)).await;
    invariants::when_quiet(&world);
    assert_eq!(world.take_record().violations, [""; 0]);
}
