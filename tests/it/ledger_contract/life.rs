//! Starting, being overloaded, being disturbed, and stopping.

use std::time::Instant;

use sea_orm::{ConnectionTrait, SqliteTransactionMode, TransactionOptions, TransactionTrait};

use super::*;

cases! {
    versions_grow_at_least_to_the_database_time
    instances_that_start_together_migrate_once
    durable_settings_are_told_from_weak_ones
    a_full_queue_refuses_at_once
    a_lock_held_longer_than_its_timeout_is_outlived
    an_offender_stands_alone
    closing_settles_what_has_a_permit
    a_ledger_that_is_closed_refuses
}

async fn versions_grow_at_least_to_the_database_time(f: &Fixture) {
    let mut last = f.ledger.now_micros().await.unwrap() - 1;
    f.stock(&[("a", 50)]).await;
    for number in 0..10 {
        let row = match number % 3 {
            0 => f.settle(&format!("r{number}"), confirm(&[("a", 1)])).await.rows[0].1.unwrap(),
            1 => {
                let change = [adjustment("a", 1)];
                f.ledger
                    .adjust_stock(&here(), &request(&format!("q{number}")), "receipt", &change)
                    .await
                    .unwrap()
                    .unwrap();
                f.row("a").await
            }
            _ => {
                f.stock(&[("a", 50)]).await;
                f.row("a").await
            }
        };
        assert!(row.version > last, "{} after {last}", row.version);
        last = row.version;
    }
    // A row whose version is ahead of the clock, as after a failover, still grows.
    let ahead = last + 3_600_000_000;
    sea_orm::ConnectionTrait::execute_unprepared(
        &f.database.connect().await,
        &format!("UPDATE stock SET version = {ahead}"),
    )
    .await
    .unwrap();
    assert_eq!(f.settle("r", confirm(&[("a", 1)])).await.rows[0].1.unwrap().version, ahead + 1);
}

async fn instances_that_start_together_migrate_once(f: &Fixture) {
    let database = if f.database.is_mysql() { database::mysql().await } else { database::sqlite() };
    let applied = together((0..4).map(async |_| {
        let ledger = Ledger::connect(&config(&database)).await.unwrap();
        let applied = ledger.migrate().await.unwrap();
        assert_eq!(ledger.migrate().await.unwrap(), 0);
        ledger.close().await.unwrap();
        applied
    }))
    .await;
    assert_eq!(applied.iter().filter(|applied| **applied > 0).count(), 1, "{applied:?}");
    database.remove().await;
}

async fn durable_settings_are_told_from_weak_ones(f: &Fixture) {
    f.ledger.ping().await.unwrap();
    if !f.database.is_mysql() {
        assert!(f.ledger.durability_warnings().await.unwrap().is_empty());
        return;
    }
    let connection = f.database.connect().await;
    let set = async |value: i64| {
        let sql = format!("SET GLOBAL innodb_flush_log_at_trx_commit = {value}");
        connection.execute_unprepared(&sql).await.unwrap();
        f.ledger
            .durability_warnings()
            .await
            .unwrap()
            .into_iter()
            .filter(|warning| warning.contains("innodb_flush"))
            .count()
    };
    let row = connection.query_one_raw(sea_orm::Statement::from_string(
        sea_orm::DbBackend::MySql,
        "SELECT CAST(@@GLOBAL.innodb_flush_log_at_trx_commit AS SIGNED) AS flush",
    ));
    let before: i64 = row.await.unwrap().unwrap().try_get("", "flush").unwrap();
    let warnings = (set(1).await, set(2).await);
    set(before).await;
    assert_eq!(warnings, (0, 1));
}

async fn a_full_queue_refuses_at_once(f: &Fixture) {
    f.stock(&[("a", 5)]).await;
    let small = Ledger::connect(&LedgerConfig { queue_max: 1, ..config(&f.database) }).await.unwrap();
    let permit = small.queue_permit(&here()).unwrap();
    assert!(matches!(small.queue_permit(&here()), Err(LedgerError::Overloaded)));
    let verdict = permit.settle(here(), id("r"), confirm(&[("a", 1)])).await.unwrap();
    assert_eq!(verdict.settlement.outcome, Outcome::Confirmed);
    drop(small.queue_permit(&here()).unwrap());
    drop(small.queue_permit(&here()).unwrap());
    small.close().await.unwrap();
}

async fn a_lock_held_longer_than_its_timeout_is_outlived(f: &Fixture) {
    f.stock(&[("a", 5)]).await;
    let connection = f.database.connect().await;
    let options =
        TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() };
    let transaction = connection.begin_with_options(options).await.unwrap();
    transaction.execute_unprepared("UPDATE stock SET floor = 1").await.unwrap();
    let begun = Instant::now();
    let (verdict, ()) = tokio::join!(f.settle("r", confirm(&[("a", 5)])), async {
        // Longer than one lock wait: here the time itself is the fault.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        transaction.commit().await.unwrap();
    });
    assert!(begun.elapsed() > Duration::from_secs(2));
    assert_eq!(verdict.settlement.outcome, Outcome::Rejected, "it saw the floor that was committed meanwhile");
}

async fn an_offender_stands_alone(f: &Fixture) {
    f.stock(&[("a", 50)]).await;
    f.settle("bad", Intent::Cancel).await;
    let connection = f.database.connect().await;
    connection.execute_unprepared("UPDATE settlements SET outcome = 'NONSENSE'").await.unwrap();
    let answers = together((0..21).map(async |number| {
        let name = if number == 7 { "bad".into() } else { format!("r{number}") };
        settle(&f.ledger, &name, confirm(&[("a", 1)])).await
    }));
    for (number, answer) in answers.await.into_iter().enumerate() {
        match answer {
            Ok(verdict) => assert_eq!((verdict.settlement.outcome, number == 7), (Outcome::Confirmed, false)),
            Err(error) => assert!(number == 7 && matches!(error, LedgerError::Corrupt(_)), "{number}: {error:?}"),
        }
    }
    assert_eq!(f.on_hand("a").await, 30);
}

async fn closing_settles_what_has_a_permit(f: &Fixture) {
    f.stock(&[("a", 50)]).await;
    let ledger = f.another().await;
    let permits: Vec<_> = (0..20).map(|_| ledger.queue_permit(&here()).unwrap()).collect();
    let settling = together(permits.into_iter().enumerate().map(async |(number, permit)| {
        // Wait until the closing has begun and no permit can be had.
        while ledger.queue_permit(&here()).is_ok() {
            tokio::task::yield_now().await;
        }
        permit.settle(here(), id(&format!("r{number}")), confirm(&[("a", 1)])).await.unwrap()
    }));
    let (verdicts, closed) = tokio::join!(settling, ledger.close());
    closed.unwrap();
    assert!(verdicts.iter().all(|verdict| verdict.settlement.outcome == Outcome::Confirmed));
    assert_eq!(f.on_hand("a").await, 30);
}

async fn a_ledger_that_is_closed_refuses(f: &Fixture) {
    let ledger = f.another().await;
    ledger.close().await.unwrap();
    assert!(matches!(ledger.queue_permit(&here()), Err(LedgerError::Unavailable(_))));
    assert!(matches!(ledger.ping().await, Err(LedgerError::Unavailable(_))));
    assert!(matches!(ledger.rows(&here(), &[sku("a")]).await, Err(LedgerError::Unavailable(_))));
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_told_within_seconds() {
    // This port was free a moment ago, so no server listens on it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (url, cause) in [
        (format!("mysql://root@127.0.0.1:{port}/x"), "refused"),
        ("sqlite:///no/such/folder/ledger.db".into(), "unable to open"),
        ("postgres://root@127.0.0.1/x".into(), "must begin with"),
    ] {
        let config = LedgerConfig { url, connections_max: 1, queue_max: 1, batch_max: 1 };
        let connecting = tokio::time::timeout(Duration::from_secs(10), Ledger::connect(&config));
        let Err(error) = connecting.await.expect("is bounded") else { panic!("connected") };
        let chain = match &error {
            LedgerError::Unavailable(cause) => cause.to_string(),
            _ => error.to_string(),
        };
        assert!(chain.contains(cause), "{chain}");
    }
}

#[tokio::test]
async fn mysql_connections_that_were_cut_are_replaced() {
    run(database::mysql().await, async |f: &Fixture| {
        f.stock(&[("a", 50)]).await;
        together((0..20).map(async |number| f.settle(&format!("r{number}"), confirm(&[("a", 1)])).await)).await;
        let connection = f.database.connect().await;
        kill_connections_of_others(&connection).await;
        let settle = async |number| f.settle(&format!("s{number}"), confirm(&[("a", 1)])).await;
        let verdicts = together((0..20).map(settle)).await;
        assert!(verdicts.iter().all(|verdict| verdict.settlement.outcome == Outcome::Confirmed));
        assert_eq!(f.on_hand("a").await, 10);
    })
    .await;
}
