//! What goes wrong on the large scale, one thing after the other, some at the same time.

use std::sync::Arc;
use std::time::Duration;

use stockhold::holds::embedded::Snapshot;
use tokio::time::{Instant, sleep};

use super::network::Network;

/// Rages until the time is over; then everything is well again.
pub(crate) async fn rage(network: &Arc<Network>) {
    let world = &network.world;
    let until = Instant::now() + world.profile.chaos;
    world.change_storm(|storm| storm.failing_permille = world.profile.failing_permille);
    let mut older: Option<Snapshot> = None;
    while Instant::now() < until {
        sleep(world.ms(50..=4000)).await;
        match world.draw(|rng| rng.u32(0..10)) {
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
                world.change_storm(|storm| storm.holds_away = true);
                let (network, after) = (Arc::clone(network), world.ms(10..=5000));
                tokio::spawn(async move {
                    sleep(after).await;
                    network.world.change_storm(|storm| storm.holds_away = false);
                });
            }
            4 => {
                let (refuses, long) = (world.one_in(2), world.one_in(6));
                world.event("ledger away", &(refuses, long));
                world.change_storm(|storm| (storm.ledger_away, storm.ledger_refuses) = (true, refuses));
                let after = if long { world.ms(60_000..=180_000) } else { world.ms(10..=8000) };
                let network = Arc::clone(network);
                tokio::spawn(async move {
                    sleep(after).await;
                    network.world.change_storm(|storm| storm.ledger_away = false);
                });
            }
            5 => older = Some(world.holds.snapshot()),
            6 if world.profile.loses_holds => {
                let snapshot = if world.one_in(2) { older.take() } else { None };
                world.event(if snapshot.is_some() { "holds rewound" } else { "holds emptied" }, &());
                world.audit(|auditor| auditor.losses += 1);
                world.holds.restore(snapshot.unwrap_or_default());
            }
            7 if world.profile.clocks_jump => {
                let ms = world.draw(|rng| rng.i64(-20_000..=20_000));
                world.event("holds' clock", &ms);
                world.clock.jump(ms);
            }
            8 if world.profile.clocks_jump => {
                let micros = world.draw(|rng| rng.i64(-60_000_000..=60_000_000));
                world.event("ledger's clock", &micros);
                world.jump_ledger_clock(micros);
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
        (storm.holds_away, storm.failing_permille) = (false, 0);
    });
    // What is still away comes back by itself.
    while world.storm().ledger_away {
        sleep(Duration::from_millis(500)).await;
    }
}
