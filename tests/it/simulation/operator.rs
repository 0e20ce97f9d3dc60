//! People who look, and who reconcile, at any time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stockhold::domain::Location;
use stockhold::service::Error;
use tokio::time::{Instant, sleep};

use super::invariants;
use super::network::Network;
use super::world::World;

pub(crate) async fn look_around(network: &Arc<Network>) {
    let world = &network.world;
    let until = Instant::now() + world.profile.chaos;
    while Instant::now() < until {
        sleep(world.ms(100..=5000)).await;
        let instance = network.any();
        if instance.is_alive() {
            tokio::select! {
                biased;
                () = instance.death() => {}
                () = look(world, &instance) => {}
            }
        }
    }
}

async fn look(world: &World, instance: &super::cluster::Instance) {
    let (service, location) = (&instance.service, world.any_location());
    let error = match world.draw(|rng| rng.u32(0..4)) {
        0 => service.get_stock(location, world.skus.clone()).await.err(),
        1 => service.list_reservations(location, Some(&world.skus[0]), 7, None).await.err(),
        2 => service.list_stock(location, 3, None).await.err(),
        _ => service.reconcile(location, !world.profile.repairs).await.err(),
    };
    if let Some(error @ (Error::Internal(_) | Error::Refused(_))) = error {
        world.violated(format!("an operator was told {error:?}"));
    }
}

/// When all is quiet: what people are told is what there is.
pub(crate) async fn sees_what_there_is(network: &Arc<Network>) {
    for location in &network.world.locations {
        sees_what_there_is_in(network, location).await;
    }
}

async fn sees_what_there_is_in(network: &Arc<Network>, location: &Location) {
    let (world, instance) = (&network.world, network.any());
    let service = &instance.service;
    let held = invariants::held(world, location);
    match service.get_stock(location, world.skus.clone()).await {
        Ok(items) => {
            for item in items {
                let row = world.server.look(|tables| tables.stock.get(&(location.clone(), item.sku.clone())).copied());
                if Some(item.row) != row || item.held != held.get(&item.sku).copied().unwrap_or(0) {
                    world.violated(format!("stock is told as {item:?}; the row is {row:?}, held are {held:?}"));
                }
            }
        }
        Err(error) => world.violated(format!("stock is answered with {error:?} although all is well")),
    }
    let (mut listed, mut after) = (BTreeSet::new(), None);
    loop {
        match service.list_reservations(location, None, 7, after).await {
            Ok((page, next)) => {
                listed.extend(page.into_iter().map(|reservation| reservation.id));
                after = next;
            }
            Err(error) => return world.violated(format!("a list is answered with {error:?} although all is well")),
        }
        if after.is_none() {
            break;
        }
    }
    let live = invariants::live(world, location);
    if listed != live {
        world.violated(format!("listed are {listed:?}, live are {live:?}"));
    }
}

/// When all is quiet: reconcile finds nothing where nothing was lost; and where something was, nothing that it cannot
/// repair.
pub(crate) async fn reconcile(network: &Arc<Network>) {
    let world = &network.world;
    for location in &world.locations {
        let mut steady = !world.audit(|auditor| auditor.has_forgotten());
        for instance in network.instances() {
            match instance.service.reconcile(location, steady).await {
                Ok(report) if steady && report.finding_count > 0 => {
                    world.violated(format!("reconcile found {:?}", report.findings));
                }
                Ok(report) if report.finding_count > report.repaired_count => {
                    world.violated(format!("reconcile could not repair {:?}", report.findings));
                }
                Ok(_) => steady = true,
                Err(error) => world.violated(format!("reconcile was told {error:?} although all is well")),
            }
        }
    }
    sleep(Duration::from_secs(1)).await;
}
