//! What every database under the ledger promises. Each case runs as `sqlite::case` and as `mysql::case`, most also as
//! `memory::case`, and ends with its books balanced.

use std::future::Future;
use std::time::Duration;

use futures::future::join_all;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use stockhold::domain::{
    Adjustment, Lines, Location, Outcome, Refusal, RequestId, ReservationId, Sku, StockRow, StockTarget,
};
use stockhold::ledger::database::Book;
use stockhold::ledger::{Intent, Ledger, LedgerConfig, LedgerError, Verdict};

use crate::support::database::{self, TestDatabase};

/// Runs each case on both engines, and those that do not need SQL to look behind the ledger's back in memory too.
macro_rules! cases {
    (in memory too: $($case:ident)*) => {
        cases! { $($case)* }
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::ledger_contract::run(crate::support::database::memory(), super::$case).await;
            })*
        }
    };
    ($($case:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::ledger_contract::run(crate::support::database::sqlite(), super::$case).await;
            })*
        }
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::ledger_contract::run(crate::support::database::mysql().await, super::$case).await;
            })*
        }
    };
}

mod disturbed;
mod dropped;
mod galera;
mod hostile;
mod life;
mod query;
mod race;
mod rights;
mod settle;
mod supply;
mod writable;

/// A migrated ledger and the database under it.
pub(crate) struct Fixture {
    ledger: Ledger,
    database: TestDatabase,
}

/// Runs one case, then looks at the books of every location.
pub(crate) async fn run(database: TestDatabase, case: impl AsyncFn(&Fixture)) {
    let ledger = database.open(&config(&database)).await.expect("connects");
    ledger.migrate().await.expect("migrates");
    let fixture = Fixture { ledger, database };
    case(&fixture).await;
    let ledger = fixture.another().await;
    for location in ledger.locations().await.expect("locations") {
        let rows = ledger.list_rows(&location, None, 100_000).await.expect("rows");
        let books = pages_of_books(&ledger, &location).await.concat();
        assert!(books.iter().map(|book| &book.sku).eq(rows.iter().map(|(sku, _)| sku)), "{books:?}, {rows:?}");
        for book in books {
            assert_eq!(book.on_hand, book.moved - book.deducted, "the books balance: {book:?}");
        }
    }
    ledger.close().await.expect("closes");
    fixture.ledger.close().await.expect("closes");
    fixture.database.remove().await;
}

/// All pages of the books, up to the first that is empty.
async fn pages_of_books(ledger: &Ledger, location: &Location) -> Vec<Vec<Book>> {
    let mut pages = Vec::<Vec<Book>>::new();
    loop {
        let after = pages.last().and_then(|page| page.last()).map(|book| &book.sku);
        let page = ledger.books(location, after).await.expect("books");
        if page.is_empty() {
            return pages;
        }
        pages.push(page);
    }
}

fn config(database: &TestDatabase) -> LedgerConfig {
    LedgerConfig { url: database.url.clone(), connections_max: 5, queue_max: 1000, batch_max: 64 }
}

impl Fixture {
    /// A second instance on the same database.
    async fn another(&self) -> Ledger {
        self.database.open(&config(&self.database)).await.expect("connects")
    }

    /// Counts these skus, with a floor of 0.
    async fn stock(&self, on_hand: &[(&str, i64)]) {
        let targets: Vec<_> = on_hand.iter().map(|(name, on_hand)| target(name, *on_hand)).collect();
        let request_id = request(&uuid::Uuid::new_v4().to_string());
        self.ledger.set_stock(&here(), &request_id, &targets).await.expect("answers").expect("accepts");
    }

    async fn settle(&self, name: &str, intent: Intent) -> Verdict {
        settle(&self.ledger, name, intent).await.expect("settles")
    }

    async fn row(&self, name: &str) -> StockRow {
        self.ledger.rows(&here(), &[sku(name)]).await.expect("rows")[0].1.expect("a row")
    }

    async fn on_hand(&self, name: &str) -> i64 {
        self.row(name).await.on_hand
    }
}

/// The numbers that a query of MySQL answers.
async fn numbers(connection: &DatabaseConnection, sql: &str) -> Vec<i64> {
    let rows = connection.query_all_raw(Statement::from_string(DbBackend::MySql, sql)).await.expect(sql);
    rows.iter().map(|row| row.try_get_by_index(0).expect("a number")).collect()
}

async fn kill_connections_of_others(connection: &DatabaseConnection) {
    let others = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist \
                  WHERE db = DATABASE() AND id <> CONNECTION_ID()";
    for id in numbers(connection, others).await {
        // It is no error if one ended by itself meanwhile.
        let _ = connection.execute_unprepared(&format!("KILL {id}")).await;
    }
}

async fn settle(ledger: &Ledger, name: &str, intent: Intent) -> Result<Verdict, LedgerError> {
    ledger.queue_permit(&here())?.settle(here(), id(name), intent).await
}

/// Runs all at the same time and fails if that takes unreasonably long.
async fn together<T>(all: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    tokio::time::timeout(Duration::from_secs(60), join_all(all)).await.expect("ends within a minute")
}

fn here() -> Location {
    Location::parse("here").expect("a location")
}

fn sku(text: &str) -> Sku {
    Sku::parse(text).expect(text)
}

fn id(text: &str) -> ReservationId {
    ReservationId::parse(text).expect(text)
}

fn request(text: &str) -> RequestId {
    RequestId::parse(text).expect(text)
}

fn target(name: &str, on_hand: i64) -> StockTarget {
    StockTarget { sku: sku(name), on_hand, floor: 0, retired: false, expected_version: None }
}

fn adjustment(name: &str, delta: i64) -> Adjustment {
    Adjustment { sku: sku(name), delta }
}

fn lines(wanted: &[(&str, u32)]) -> Lines {
    Lines::merge(wanted.iter().map(|(name, quantity)| (sku(name), *quantity))).expect("lines")
}

/// Confirms all that was reserved.
fn confirm(wanted: &[(&str, u32)]) -> Intent {
    confirm_part(wanted, wanted)
}

fn confirm_part(reserved: &[(&str, u32)], confirmed: &[(&str, u32)]) -> Intent {
    let lines_to_confirm = lines(confirmed);
    Intent::Confirm {
        reserved: lines(reserved).fingerprint(),
        confirmed: lines_to_confirm.fingerprint(),
        lines: lines_to_confirm,
    }
}

fn reject(wanted: &[(&str, u32)]) -> Intent {
    Intent::Reject { lines: lines(wanted) }
}
