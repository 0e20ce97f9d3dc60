//! A caller that leaves within a transaction leaves nothing behind: no locks, and no connection with a transaction
//! open.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use super::*;
use crate::support::eventually;

cases! {
    a_change_that_is_dropped_anywhere_leaves_nothing_open
}

/// Far more than a change takes.
const POLLS_MAX: usize = 200;

/// As the ledger sets it. A change that meets a lock which stays takes at least this long.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Drops a future that is not ready after so many polls.
async fn within_polls<T>(mut polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        polls -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn has_open_transactions(connection: &DatabaseConnection) -> bool {
    let sql = "SELECT trx_id FROM information_schema.innodb_trx \
               JOIN information_schema.processlist ON id = trx_mysql_thread_id \
               WHERE db = DATABASE() AND id <> CONNECTION_ID()";
    let found = connection.query_one_raw(Statement::from_string(DbBackend::MySql, sql)).await;
    found.expect("answers").is_some()
}

async fn a_change_that_is_dropped_anywhere_leaves_nothing_open(f: &Fixture) {
    f.stock(&[("a", 0)]).await;
    // Another instance has its own connections. On the same connection the next use may end what was left open.
    let other = f.another().await;
    let mut dropped = 0_usize;
    // The first round finds no connection idle, and is dropped while it connects.
    for round in ["first", "second", "third"] {
        let mut polls = 1;
        loop {
            let (name, change) = (format!("{round} {polls}"), [adjustment("a", 1)]);
            if within_polls(polls, f.ledger.adjust_stock(&here(), &request(&name), "receipt", &change)).await.is_some()
            {
                break;
            }
            dropped += 1;
            let (begun, next) = (Instant::now(), request(&format!("after {name}")));
            other.adjust_stock(&here(), &next, "receipt", &change).await.unwrap().unwrap();
            assert!(
                begun.elapsed() < LOCK_WAIT,
                "{:?} after one that was dropped after {polls} polls",
                begun.elapsed()
            );
            polls += 1;
            assert!(polls < POLLS_MAX, "it ends");
        }
    }
    // SQLite may be done before the test looks.
    if f.database.is_mysql() {
        assert!(dropped >= 3, "{dropped} were dropped");
        let connection = f.database.connect().await;
        let all_ended = async || !has_open_transactions(&connection).await;
        eventually("no transaction is open", LOCK_WAIT, all_ended).await;
    }
    let (counted, done) = (f.on_hand("a").await as usize, dropped + 3);
    assert!((done..=done + dropped).contains(&counted), "{counted} with {dropped} of unknown outcome");
    other.close().await.unwrap();
}
