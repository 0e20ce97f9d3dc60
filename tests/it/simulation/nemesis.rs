//! Faults of whole processes and stores: one after the other, and some at the same time.

use std::sync::Arc;

use stockhold::holds::embedded::Snapshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::network::Network;

/// Causes faults until the chaos is over, then ends them all.
pub(crate) async fn rage(network: &Arc<Network>) {
    let world = &network.world;
    let until = Instant::now() + world.profile.chaos;
    world.change_storm(|storm| storm.failing_permille = world.profile.failing_permille);
    let mut older: Option<Snapshot> = None;
    while Instant::now() < until {
        sleep(world.ms(50..=4000)).await;
        match world.draw(|rng| rng.u32(0..11)) {
            0..3 => {
                let instances = network.instances();
                let place = world.draw(|rng| rng.usize(0..instances.len()));
                let victim = Arc::clone(&instances[place]);
                if !victim.is_alive() {
                    continue;
                }
                victim.light_fuse(world.draw(|rng| rng.usize(1..=40)));
                let (network, after) = (Arc::clone(network), world.ms(0..=6000));
                tokio::spawn(async move {
                    victim.death().await;
                    network.world.event("instance killed", &place);
                    victim.kill();
                    sleep(after).await;
                    network.restart(place);
                });
            }
            3 => {
                world.event("holds away", &());
                let until = Instant::now() + world.ms(10..=5000);
                world.change_storm(|storm| storm.holds_away_until = storm.holds_away_until.max(until));
            }
            4 => {
                let (refuses, long) = (world.one_in(2), world.one_in(6));
                world.event("ledger away", &(refuses, long));
                let until = Instant::now() + if long { world.ms(60_000..=180_000) } else { world.ms(10..=8000) };
                world.change_storm(|storm| {
                    (storm.ledger_away_until, storm.ledger_refuses) = (storm.ledger_away_until.max(until), refuses);
                });
            }
            5 => older = Some(world.holds.look(Snapshot::clone)),
            6 if world.profile.loses_holds => {
                let snapshot = if world.one_in(2) { older.take() } else { None };
                world.event(if snapshot.is_some() { "holds rewound" } else { "holds emptied" }, &());
                world.audit(|auditor| auditor.losses += 1);
                world.holds.restore(snapshot.unwrap_or_default());
            }
            7 if world.profile.clocks_jump => {
                let most_ms = if world.one_in(4) { 600_000 } else { 20_000 };
                let ms = world.draw(|rng| rng.i64(-most_ms..=most_ms));
                world.event("holds' clock", &ms);
                world.clock.jump(ms);
            }
            8 if world.profile.clocks_jump => {
                let micros = world.draw(|rng| rng.i64(-60_000_000..=60_000_000));
                world.event("ledger's clock", &micros);
                world.jump_ledger_clock(micros);
            }
            9 => {
                let until = Instant::now() + world.ms(10..=5000);
                world.change_storm(|storm| storm.holds_full_until = storm.holds_full_until.max(until));
            }
            _ => {
                // A burst in which a call in three fails.
                let usual = world.profile.failing_permille;
                world.event("burst", &());
                world.change_storm(|storm| storm.failing_permille = 300);
                sleep(world.ms(10..=500)).await;
                world.change_storm(|storm| storm.failing_permille = usual);
            }
        }
    }
    world.event("calm", &());
    world.change_storm(|storm| {
        let now = Instant::now();
        (storm.holds_away_until, storm.holds_full_until, storm.failing_permille) = (now, now, 0);
    });
    // A ledger that is away for long comes back later.
    sleep_until(world.storm().ledger_away_until).await;
}
