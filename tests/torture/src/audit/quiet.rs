//! When a run is over, nothing is held, no reservation is live, nothing is unsettled, and every register is a row of
//! the database (I4 to I7).

use std::collections::BTreeMap;
use std::time::Duration;

use stockhold::grpc::v1;
use stockhold_servers::patience::within;

use crate::audit::books::{self, Row};
use crate::client::{Answer, Client, call};
use crate::run::{LOCATIONS, Run, SUPPLIES};
use crate::world::World;

/// Longer than the longest hold, an extension of it, the grace period of recovery and a sync period together.
const QUIET_MAX: Duration = Duration::from_secs(25);

/// Waits until all is quiet. Whatever is not quiet by then is a violation.
pub(super) async fn wait(world: &World, run: &Run) {
    let mut noises = Vec::new();
    let quiet = within(QUIET_MAX, async || {
        noises = listen(world, run).await;
        noises.is_empty()
    });
    if quiet.await.is_none() {
        for noise in noises {
            run.violation(format!("not quiet within {QUIET_MAX:?}: {noise}"));
        }
    }
}

async fn listen(world: &World, run: &Run) -> Vec<String> {
    let mut noises = Vec::new();
    for location in LOCATIONS {
        for index in ["unsettled", "deadlines"] {
            let key = format!("stockhold:{{{location}}}:{index}");
            let ids = world.redis.command(&["ZRANGE", &key, "0", "4"]).await;
            if ids.iter().any(|id| !id.is_empty()) {
                noises.push(format!("Redis has in {key}: {ids:?}"));
            }
        }
        let rows = books::stock(world, run, location).await;
        noises.extend(differing_registers(world, run, location, &rows).await);
        for clients in &run.clients {
            let mut client = clients[0].clone();
            noises.extend(live_reservations(&mut client, location).await);
            noises.extend(differing_stock(&mut client, run, location, &rows).await);
        }
    }
    noises
}

/// A Redis that lost its data refills on demand, so a register may be missing until it is asked for.
async fn differing_registers(world: &World, run: &Run, location: &str, rows: &BTreeMap<String, Row>) -> Vec<String> {
    let key = format!("stockhold:{{{location}}}:stock");
    let command: Vec<_> = ["HMGET", &key].into_iter().chain(rows.keys().map(String::as_str)).collect();
    let registers = world.redis.command(&command).await;
    let mut differing = Vec::new();
    for ((sku, row), register) in rows.iter().zip(registers) {
        let expected = format!("{} {} {} 0", row.version, row.on_hand, row.floor);
        if register != expected && !(register.is_empty() && run.redis_forgets) {
            differing.push(format!("the register of {sku} in {location} is {register:?}, the row is {expected:?}"));
        }
    }
    differing
}

async fn live_reservations(client: &mut Client, location: &str) -> Option<String> {
    let request = v1::ListReservationsRequest { location: location.to_owned(), ..Default::default() };
    match call(client.reservations.list_reservations(request)).await {
        Answer::Ok(page) if page.reservations.is_empty() && page.next_page_token.is_empty() => None,
        answer => Some(format!("live reservations in {location}: {answer:?}")),
    }
}

async fn differing_stock(
    client: &mut Client,
    run: &Run,
    location: &str,
    rows: &BTreeMap<String, Row>,
) -> Option<String> {
    let skus = SUPPLIES.iter().map(|supply| supply.sku(run)).collect();
    let request = v1::GetStockRequest { location: location.to_owned(), skus };
    let answer = match call(client.stock.get_stock(request)).await {
        Answer::Ok(answer) => answer,
        answer => return Some(format!("GetStock in {location}: {answer:?}")),
    };
    let fits = |item: &v1::StockItem| {
        rows.get(&item.sku).is_some_and(|row| {
            let available = (row.on_hand - row.floor).max(0);
            (item.on_hand, item.floor, item.held, item.available) == (row.on_hand, row.floor, 0, available)
        })
    };
    let differing: Vec<_> = answer.items.iter().filter(|item| !fits(item)).collect();
    let complete = answer.items.len() == SUPPLIES.len();
    (!complete || !differing.is_empty()).then(|| format!("GetStock in {location}: {differing:?}, rows {rows:?}"))
}
