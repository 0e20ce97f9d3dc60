//! Two instances over one Redis and one MySQL, as processes: nothing is oversold between them, and one finishes what a
//! crash of the other left.

use std::time::Duration;

use futures::future::join_all;
use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};
use stockhold::domain::StockTarget;
use stockhold::grpc::v1::ReservationState;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::client::Caller;
use crate::support::database::{self, TestDatabase};
use crate::support::holds::{location, sku};
use crate::support::server::Instance;
use crate::support::service::{open_ledger, request_id};
use crate::support::{eventually, required};

fn instance(database: &TestDatabase, prefix: &str) -> Instance {
    Instance::with_stores(&required("STOCKHOLD_TEST_REDIS_URL"), prefix, &database.url)
        .arg("--recover-grace")
        .arg("200ms")
        .arg("--recover-every")
        .arg("100ms")
}

fn prefix() -> String {
    format!("test-{}", Uuid::new_v4())
}

async fn sum(database: &TestDatabase, sql: &str) -> i64 {
    let connection = database.connect().await;
    let row = connection.query_one_raw(Statement::from_string(DatabaseBackend::MySql, sql)).await.expect("answers");
    row.expect("a row").try_get_by_index(0).expect("a number")
}

#[tokio::test]
async fn two_hundred_callers_get_fifty_units_exactly() {
    let (database, prefix) = (database::mysql().await, prefix());
    let services = [instance(&database, &prefix).start(), instance(&database, &prefix).start()];
    let mut callers = Vec::new();
    for service in &services {
        callers.push(Caller::connect(service.address()).await);
    }
    callers[0].set("sku", 50).await;

    let orders = (0..200).map(|i| {
        let mut caller = callers[i % 2].clone();
        async move {
            let id = format!("order-{i}");
            match caller.reserve(&id, &[("sku", 1)]).await {
                Ok(_) => caller.confirm(&id).await.map(|reservation| reservation.state()).ok(),
                Err(_) => None,
            }
        }
    });
    let confirmed =
        join_all(orders).await.into_iter().filter(|state| *state == Some(ReservationState::Confirmed)).count();
    assert_eq!(confirmed, 50);
    assert_eq!(callers[1].counts("sku").await, (0, 0, 0));
    assert_eq!(sum(&database, "SELECT CAST(SUM(quantity) AS SIGNED) FROM deductions").await, 50);
    assert_eq!(sum(&database, "SELECT COUNT(*) FROM settlements WHERE outcome = 'CONFIRMED'").await, 50);
    drop(services);
    database.remove().await;
}

/// The process ends at this step as if it had been killed there: no destructor runs, nothing is flushed.
#[tokio::test]
async fn a_crash_between_any_two_steps_is_healed_by_a_restart() {
    for (step, confirms, end) in [
        ("confirm-begun", true, ReservationState::Confirmed),
        ("ledger-before-commit", true, ReservationState::Confirmed),
        ("ledger-after-commit", true, ReservationState::Confirmed),
        ("confirm-committed", true, ReservationState::Confirmed),
        ("confirm-settled", true, ReservationState::Confirmed),
        ("cancel-released", false, ReservationState::Cancelled),
        ("ledger-before-commit", false, ReservationState::Cancelled),
        ("cancel-committed", false, ReservationState::Cancelled),
    ] {
        let (database, prefix) = (database::mysql().await, prefix());
        let mut crashing = instance(&database, &prefix).env("FAILPOINTS", &format!("{step}=return")).start();
        let mut caller = Caller::connect(crashing.address()).await;
        caller.set("sku", 10).await;
        caller.reserve("order", &[("sku", 3)]).await.expect("held");
        let answer = if confirms { caller.confirm("order").await } else { caller.cancel("order").await };
        // Only the settle comes after the answer.
        assert!(answer.is_err() || step == "confirm-settled", "{step}: it crashes before it answers");
        assert!(!crashing.wait_exit().success(), "{step}");

        let healing = instance(&database, &prefix).start();
        let mut caller = Caller::connect(healing.address()).await;
        let on_hand = if confirms { 7 } else { 10 };
        eventually(step, Duration::from_secs(10), async || {
            caller.is("order", end).await && caller.counts("sku").await == (on_hand, 0, on_hand)
        })
        .await;
        // The call was not repeated. A caller who does so now gets the true answer.
        assert_eq!(caller.confirm("order").await.is_ok(), confirms, "{step}");
        assert_eq!(caller.cancel("order").await.is_ok(), !confirms, "{step}");
        assert_eq!(caller.counts("sku").await, (on_hand, 0, on_hand), "{step}");
        drop(healing);
        database.remove().await;
    }
}

#[tokio::test]
async fn instances_that_start_together_on_an_empty_database_all_start() {
    let (database, prefix) = (database::mysql().await, prefix());
    let starts = (0..3).map(|_| {
        let instance = instance(&database, &prefix);
        tokio::task::spawn_blocking(move || instance.start())
    });
    let services = join_all(starts).await;
    assert!(services.iter().all(Result::is_ok));
    drop(services);
    database.remove().await;
}

/// Other instances wait, and a holder that vanishes gives its lease back.
#[tokio::test]
async fn the_books_are_read_by_one_instance_at_a_time() {
    let database = database::mysql().await;
    let ledger = open_ledger(&database).await;
    let target = StockTarget { sku: sku("a"), on_hand: 10, floor: 0, retired: false, expected_version: None };
    ledger.set_stock(&location("l"), &request_id(), &[target]).await.expect("answers").expect("is set");

    let other = database.connect().await;
    let lock = "GET_LOCK(CONCAT('stockhold.books.', LEFT(SHA2(DATABASE(), 256), 40)), 30)";
    other.execute_unprepared(&format!("DO {lock}")).await.expect("is locked");
    let place = location("l");
    let mut reading = Box::pin(ledger.books(&place, None));
    assert!(timeout(Duration::from_millis(500), &mut reading).await.is_err(), "it waits");
    other.close().await.expect("closes");
    let books = timeout(Duration::from_secs(30), reading).await.expect("it goes on").expect("answers");
    assert_eq!((books.len(), books[0].on_hand), (1, 10));
    assert_eq!(sum(&database, &format!("SELECT CAST({lock} AS SIGNED)")).await, 1, "it is given back");
    ledger.close().await.expect("closes");
    database.remove().await;
}
