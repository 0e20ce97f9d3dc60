//! Compares what callers were told with MySQL's tables. Nothing is oversold (I1). Each confirm is there once, with the
//! lines that its caller was told (I2). Each order has one end (I3). And the books balance: from version to version,
//! `on_hand` changes by a movement or by deductions, and by nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sea_orm::QueryResult;
use stockhold::grpc::v1;
use stockhold_servers::patience::within;

use crate::client::{Answer, call};
use crate::order::{End, Lines};
use crate::run::{Ended, LOCATIONS, Run, SUPPLIES, Stock};
use crate::world::World;

/// Both stores work when stock is set.
const STOCK_UP_MAX: Duration = Duration::from_secs(30);

/// A row of `stock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) on_hand: i64,
    pub(super) floor: i64,
    pub(super) version: i64,
}

/// What one version of a row changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// A movement, and the `on_hand` that it recorded.
    Moved { delta: i64, on_hand: i64 },
    /// The deductions of one batch.
    Sold { quantity: i64 },
}

/// What MySQL has of a run in one location: settlements, deductions, and the changes of each sku by version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Books {
    stock: BTreeMap<String, Row>,
    settlements: BTreeMap<String, String>,
    deductions: BTreeMap<String, Lines>,
    changes: BTreeMap<String, BTreeMap<i64, Vec<Change>>>,
}

/// Sets the stock of a run.
pub(crate) async fn stock_up(run: &Run) {
    for location in LOCATIONS {
        let stock: Vec<_> = SUPPLIES.iter().map(|supply| supply.stock(run, location)).collect();
        run.add_stock(stock.clone());
        let items = stock.into_iter().map(|Stock { sku, on_hand, floor, .. }| v1::SetStockItem {
            sku,
            on_hand,
            floor,
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

/// Selects the rows of a run in one location. Their skus or orders, in this column, begin with the run's prefixes.
fn of_run(run: &Run, location: &str, column: &str) -> String {
    let (prefix, window_prefix) = (run.prefix(), run.window_prefix());
    format!("location = '{location}' AND ({column} LIKE '{prefix}%' OR {column} LIKE '{window_prefix}%')")
}

/// Reads the rows of a run's skus.
pub(super) async fn stock(world: &World, run: &Run, location: &str) -> BTreeMap<String, Row> {
    let sql = format!("SELECT sku, on_hand, floor, version FROM stock WHERE {}", of_run(run, location, "sku"));
    let rows = world.mariadb.books().await.rows(&sql).await;
    let read = rows.iter().map(|row| {
        let [on_hand, floor, version] = [1, 2, 3].map(|column| number(row, column));
        (text(row, 0), Row { on_hand, floor, version })
    });
    read.collect()
}

/// Reads everything of a run.
pub(super) async fn read(world: &World, run: &Run, location: &str) -> Books {
    let books = world.mariadb.books().await;
    let (of_orders, of_skus) = (of_run(run, location, "reservation_id"), of_run(run, location, "sku"));
    let settlements = format!("SELECT reservation_id, outcome FROM settlements WHERE {of_orders}");
    let deductions = format!("SELECT reservation_id, sku, quantity FROM deductions WHERE {of_orders} ORDER BY 1, 2");
    let moved = format!("SELECT sku, version, delta, on_hand FROM movements WHERE {of_skus}");
    let sold = format!(
        "SELECT sku, version, CAST(SUM(quantity) AS SIGNED) FROM deductions WHERE {of_skus} GROUP BY sku, version"
    );
    let mut read = Books { stock: stock(world, run, location).await, ..Default::default() };
    for row in books.rows(&settlements).await {
        read.settlements.insert(text(&row, 0), text(&row, 1));
    }
    for row in books.rows(&deductions).await {
        let line = (text(&row, 1), u32::try_from(number(&row, 2)).expect("not negative"));
        read.deductions.entry(text(&row, 0)).or_default().push(line);
    }
    let mut changed = |row: &QueryResult, change| {
        read.changes.entry(text(row, 0)).or_default().entry(number(row, 1)).or_default().push(change);
    };
    for row in books.rows(&moved).await {
        changed(&row, Change::Moved { delta: number(&row, 2), on_hand: number(&row, 3) });
    }
    for row in books.rows(&sold).await {
        changed(&row, Change::Sold { quantity: number(&row, 2) });
    }
    read
}

fn text(row: &QueryResult, column: usize) -> String {
    row.try_get_by_index(column).expect("a text")
}

fn number(row: &QueryResult, column: usize) -> i64 {
    row.try_get_by_index(column).expect("a number")
}

/// Audits the books of every location.
pub(crate) async fn audit_books(world: &World, run: &Run) {
    for location in LOCATIONS {
        let books = read(world, run, location).await;
        let sold = audit_orders(run, location, &books);
        for stock in run.stock().iter().filter(|stock| stock.location == location) {
            audit_stock(run, stock, &books, &sold);
        }
    }
}

/// Checks that every order has the end that its callers were told. Answers how many units of each sku callers were told
/// are sold.
fn audit_orders(run: &Run, location: &str, books: &Books) -> BTreeMap<String, i64> {
    let (mut sold, mut known) = (BTreeMap::new(), BTreeSet::new());
    for Ended { id, end, part, .. } in run.ended().into_iter().filter(|ended| ended.location == location) {
        let (expected, lines) = match end {
            Some(End::Confirmed) => (Some("CONFIRMED"), Some(&part)),
            Some(End::Cancelled) => (Some("CANCELLED"), None),
            Some(End::Rejected) => (Some("REJECTED"), None),
            None => (None, None),
        };
        let settled = books.settlements.get(&id).map(String::as_str);
        if settled != expected {
            run.violation(format!(
                "the ledger has {settled:?}, but callers were told {expected:?}; {}",
                run.story(&id)
            ));
        }
        let deducted = books.deductions.get(&id);
        if deducted != lines {
            run.violation(format!(
                "the ledger deducted {deducted:?}, but callers were told {lines:?}; {}",
                run.story(&id)
            ));
        }
        for (sku, quantity) in lines.into_iter().flatten() {
            *sold.entry(sku.clone()).or_default() += i64::from(*quantity);
        }
        known.insert(id);
    }
    for id in books.settlements.keys().chain(books.deductions.keys()) {
        if !known.contains(id) {
            run.violation(format!("the ledger has {id} in {location}, but no caller ordered it"));
        }
    }
    sold
}

/// Checks that `on_hand` is the first stock and the receipts less what was sold, and that no version between was below
/// the floor.
fn audit_stock(run: &Run, stock: &Stock, books: &Books, sold: &BTreeMap<String, i64>) {
    let Stock { location, sku, floor, .. } = stock;
    let Some(row) = books.stock.get(sku) else { return run.violation(format!("{sku} is not in {location}")) };
    let receipts = run.receipts();
    let received = receipts.iter().filter(|receipt| receipt.location == *location && receipt.sku == *sku);
    let moved = stock.on_hand + received.map(|receipt| receipt.units).sum::<i64>();
    let expected = moved - sold.get(sku).unwrap_or(&0);
    if (row.on_hand, row.floor) != (expected, *floor) {
        run.violation(format!("{sku} in {location} is {row:?}, but the callers' answers make {expected} on hand"));
    }
    let (mut on_hand, mut moved_by_books, mut version) = (0, 0, 0);
    for (at, changes) in books.changes.get(sku).into_iter().flatten() {
        match changes[..] {
            [Change::Moved { delta, on_hand: noted }] => {
                (on_hand, moved_by_books) = (on_hand + delta, moved_by_books + delta);
                if noted != on_hand {
                    run.violation(format!(
                        "{sku} in {location}: movement {at} records {noted} on hand, but there were {on_hand}"
                    ));
                }
            }
            [Change::Sold { quantity }] => {
                on_hand -= quantity;
                if on_hand < *floor {
                    run.violation(format!("OVERSOLD: {sku} in {location} had {on_hand} at {at}, its floor is {floor}"));
                }
            }
            _ => run.violation(format!("{sku} in {location}: two changes have version {at}: {changes:?}")),
        }
        version = *at;
    }
    if moved_by_books != moved {
        run.violation(format!(
            "{sku} in {location}: the movements sum up to {moved_by_books}, those of the callers to {moved}"
        ));
    }
    if (row.on_hand, row.version) != (on_hand, version) {
        run.violation(format!("{sku} in {location} is {row:?}, but the books make {on_hand} at {version}"));
    }
}
