//! What was told against MySQL's tables: no oversell (I1), every confirm exactly once with the lines that were told (I2), one end each (I3), and conservation:
//! what was there and what came is what is there and what was sold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stockhold::grpc::v1;

use crate::client::{Answer, call};
use crate::order::{End, Lines};
use crate::patience::within;
use crate::run::{LOCATIONS, Run, SUPPLIES, locked};
use crate::world::World;

/// The stores are well when stock is set.
const STOCK_UP_MAX: Duration = Duration::from_secs(30);

/// A row of `stock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) on_hand: i64,
    pub(super) floor: i64,
    pub(super) version: i64,
}

/// What MySQL has of a run in one location: settlements, deductions, and what was sold and moved of each sku.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Books {
    pub(super) stock: BTreeMap<String, Row>,
    settlements: BTreeMap<String, String>,
    deductions: BTreeMap<String, Lines>,
    movements: BTreeMap<String, i64>,
}

/// Brings in the skus of a run.
pub(crate) async fn stock_up(run: &Run) {
    for location in LOCATIONS {
        let items = SUPPLIES.iter().map(|supply| v1::SetStockItem {
            sku: supply.sku(run),
            on_hand: supply.on_hand,
            floor: supply.floor,
            ..Default::default()
        });
        let request = v1::SetStockRequest {
            location: location.to_owned(),
            request_id: format!("{}stock", run.prefix()),
            items: items.collect(),
        };
        let mut client = run.clients[0][0].clone();
        let set =
            within(STOCK_UP_MAX, async || matches!(call(client.stock.set_stock(request.clone())).await, Answer::Ok(_)));
        assert!(set.await.is_some(), "the stock of run {} is not set within {STOCK_UP_MAX:?}", run.number);
    }
}

/// Reads the rows of a run's skus.
pub(super) async fn stock(world: &World, run: &Run, location: &str) -> BTreeMap<String, Row> {
    let prefix = run.prefix();
    let sql = format!(
        "SELECT sku, on_hand, floor, version FROM stock WHERE location = '{location}' AND sku LIKE '{prefix}%'"
    );
    let rows = world.mariadb.books().await.rows(&sql).await;
    let read = rows.iter().map(|row| {
        let [on_hand, floor, version] = [1, 2, 3].map(|column| row.try_get_by_index(column).expect("a number"));
        (row.try_get_by_index(0).expect("a sku"), Row { on_hand, floor, version })
    });
    read.collect()
}

/// Reads everything of a run.
pub(super) async fn read(world: &World, run: &Run, location: &str) -> Books {
    let (books, prefix) = (world.mariadb.books().await, run.prefix());
    let within = format!("WHERE location = '{location}' AND");
    let settlements =
        format!("SELECT reservation_id, outcome FROM settlements {within} reservation_id LIKE '{prefix}%'");
    let deductions = format!(
        "SELECT reservation_id, sku, quantity FROM deductions {within} reservation_id LIKE '{prefix}%' ORDER BY 1, 2"
    );
    let movements =
        format!("SELECT sku, CAST(SUM(delta) AS SIGNED) FROM movements {within} sku LIKE '{prefix}%' GROUP BY sku");
    let mut read = Books { stock: stock(world, run, location).await, ..Default::default() };
    for row in books.rows(&settlements).await {
        let outcome = row.try_get_by_index(1).expect("an outcome");
        read.settlements.insert(row.try_get_by_index(0).expect("an id"), outcome);
    }
    for row in books.rows(&deductions).await {
        let quantity: i64 = row.try_get_by_index(2).expect("a quantity");
        let line = (row.try_get_by_index(1).expect("a sku"), u32::try_from(quantity).expect("not negative"));
        read.deductions.entry(row.try_get_by_index(0).expect("an id")).or_default().push(line);
    }
    for row in books.rows(&movements).await {
        read.movements.insert(row.try_get_by_index(0).expect("a sku"), row.try_get_by_index(1).expect("a sum"));
    }
    read
}

/// Audits the books of every location.
pub(crate) async fn audit_books(world: &World, run: &Run) {
    for location in LOCATIONS {
        let books = read(world, run, location).await;
        let sold = audit_orders(run, location, &books);
        audit_supply(run, location, &books, &sold);
        audit_floors(world, run, location).await;
    }
}

/// Every order has the end that was told, and no other; answers what was sold by what was told.
fn audit_orders(run: &Run, location: &str, books: &Books) -> BTreeMap<String, i64> {
    let (mut sold, mut known) = (BTreeMap::new(), BTreeSet::new());
    for order in run.orders() {
        let order = locked(&order);
        if order.location != location {
            continue;
        }
        known.insert(order.id.clone());
        let (expected, lines) = match order.told().end {
            Some(End::Confirmed) => (Some("CONFIRMED"), Some(&order.part)),
            Some(End::Cancelled) => (Some("CANCELLED"), None),
            Some(End::Rejected) => (Some("REJECTED"), None),
            None => (None, None),
        };
        let settled = books.settlements.get(&order.id).map(String::as_str);
        if settled != expected {
            run.violation(format!("the ledger has {settled:?}, told was {expected:?}; {order}"));
        }
        let deducted = books.deductions.get(&order.id);
        if deducted != lines {
            run.violation(format!("the ledger deducted {deducted:?}, told was {lines:?}; {order}"));
        }
        for (sku, quantity) in lines.into_iter().flatten() {
            *sold.entry(sku.clone()).or_default() += i64::from(*quantity);
        }
    }
    for id in books.settlements.keys().chain(books.deductions.keys()) {
        if !known.contains(id) {
            run.violation(format!("the ledger has {id} in {location}, which nobody ordered"));
        }
    }
    sold
}

fn audit_supply(run: &Run, location: &str, books: &Books, sold: &BTreeMap<String, i64>) {
    let receipts = run.receipts();
    for supply in &SUPPLIES {
        let sku = supply.sku(run);
        let received = receipts.iter().filter(|receipt| receipt.location == location && receipt.sku == sku);
        let moved = supply.on_hand + received.map(|receipt| receipt.units).sum::<i64>();
        let expected = moved - sold.get(&sku).unwrap_or(&0);
        let on_hand = books.stock.get(&sku).map(|row| row.on_hand);
        if on_hand != Some(expected) {
            run.violation(format!("{sku} in {location}: on_hand is {on_hand:?}, by what was told it is {expected}"));
        }
        if books.movements.get(&sku) != Some(&moved) {
            let found = books.movements.get(&sku);
            run.violation(format!("{sku} in {location}: movements are {found:?}, by what was told they are {moved}"));
        }
    }
}

/// No deduction has taken a sku below its floor.
async fn audit_floors(world: &World, run: &Run, location: &str) {
    let prefix = run.prefix();
    let sql = format!(
        "SELECT sku, on_hand, floor FROM stock WHERE location = '{location}' AND sku LIKE '{prefix}%' AND on_hand < floor \
         AND EXISTS (SELECT 1 FROM deductions WHERE deductions.location = stock.location AND deductions.sku = stock.sku \
         AND deductions.version = stock.version)"
    );
    for row in world.mariadb.books().await.rows(&sql).await {
        let sku: String = row.try_get_by_index(0).expect("a sku");
        let [on_hand, floor]: [i64; 2] = [1, 2].map(|column| row.try_get_by_index(column).expect("a number"));
        run.violation(format!("OVERSOLD: {sku} in {location} has {on_hand}, its floor is {floor}"));
    }
}
