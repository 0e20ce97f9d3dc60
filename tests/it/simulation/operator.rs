//! Operators, who read and reconcile at any time.

use std::sync::Arc;
use std::time::Duration;

use stockhold::domain::{Location, Refusal, Reservation, State};
use stockhold::service::{Error, Service};
use tokio::time::{Instant, sleep};

use super::network::Network;
use super::quiet::Asked;
use super::world::World;
use crate::support::holds::{id, location};

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
    let error = match world.draw(|rng| rng.u32(0..5)) {
        // A caller who mistypes the location.
        4 => match service.cancel(&nowhere(), id("stray")).await {
            Ok(reservation) => return world.violated(format!("a location that does not exist has {reservation:?}")),
            Err(Error::Refused(Refusal::UnknownLocation(_))) => None,
            Err(error) => Some(error),
        },
        0 => service.get_stock(location, world.skus.clone()).await.err(),
        1 => list(world, service, location).await.err(),
        2 => service.list_stock(location, 3, None).await.err(),
        _ => service.reconcile(location, !world.profile.repairs).await.err(),
    };
    if let Some(error @ (Error::Internal(_) | Error::Refused(_))) = error {
        world.violated(format!("an operator was told {error:?}"));
    }
}

/// I5: what was overdue when the list was asked for is not listed. Where clocks jump, nothing says what was.
async fn list(world: &World, service: &Service, location: &Location) -> Result<(), Error> {
    let asked_ms = world.clock.now_ms();
    let sku = world.one_in(2).then(|| world.any_sku());
    let (listed, _) = service.list_reservations(location, sku, 50, None).await?;
    let is_overdue = |record: &&Reservation| record.state == State::Held && record.expire_ms <= Some(asked_ms);
    match listed.iter().find(is_overdue) {
        Some(overdue) if !world.profile.clocks_jump => {
            world.violated(format!("I5: listed is {overdue:?}, which was over at {asked_ms}"));
        }
        _ => {}
    }
    Ok(())
}

/// A location in which no sku is ever created.
pub(crate) fn nowhere() -> Location {
    location("nowhere")
}

/// When it is quiet, operators are told what there is.
pub(crate) async fn sees_what_there_is(network: &Arc<Network>) {
    for location in &network.world.locations {
        sees_what_there_is_in(network, location).await;
    }
}

async fn sees_what_there_is_in(network: &Arc<Network>, location: &Location) {
    let (world, instance) = (&network.world, network.any());
    let service = &instance.service;
    let judge = |judgement: Result<(), String>| judgement.unwrap_or_else(|wrong| world.violated(wrong));

    let asked = Asked::now(world, location);
    match service.get_stock(location, world.skus.clone()).await {
        Ok(items) => judge(asked.told_stock(&world.skus, &items)),
        Err(error) => world.violated(format!("stock is answered with {error:?} although all is well")),
    }

    let asked = Asked::now(world, location);
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let asked_page = Asked::now(world, location);
        match service.list_reservations(location, None, 7, after).await {
            Ok((page, next)) => {
                judge(asked_page.told_page(&page));
                listed.extend(page);
                after = next;
            }
            Err(error) => return world.violated(format!("a list is answered with {error:?} although all is well")),
        }
        if after.is_none() {
            return judge(asked.told_list(&listed));
        }
    }
}

/// When it is quiet, reconcile finds nothing unless the holds' store lost data. Then it repairs everything that it
/// finds.
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
