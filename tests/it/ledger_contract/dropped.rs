//! Whoever leaves in the midst of a transaction leaves nothing behind: neither locks nor a connection that others would find in its middle.

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

/// What a change takes whose rows somebody else may still have locked for a moment, on a machine that has other things to do.
const CHANGE_MAX: Duration = Duration::from_secs(5);

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
    let sql = "SELECT trx_id FROM information_schema.innodb_trx JOIN information_schema.processlist ON id = trx_mysql_thread_id \
        WHERE db = DATABASE() AND id <> CONNECTION_ID()";
    let found = connection.query_one_raw(Statement::from_string(DbBackend::MySql, sql)).await;
    found.expect("answers").is_some()
}

async fn a_change_that_is_dropped_anywhere_leaves_nothing_open(f: &Fixture) {
    f.stock(&[("a", 0)]).await;
    let mut dropped = 0_usize;
    for polls in 1..POLLS_MAX {
        let (request_id, change) = (request(&format!("dropped {polls}")), [adjustment("a", 1)]);
        if within_polls(polls, f.ledger.adjust_stock(&here(), &request_id, "receipt", &change)).await.is_some() {
            break;
        }
        dropped += 1;
        let begun = Instant::now();
        let next = request(&format!("next {polls}"));
        f.ledger.adjust_stock(&here(), &next, "receipt", &change).await.unwrap().unwrap();
        assert!(begun.elapsed() < CHANGE_MAX, "{:?} after one that was dropped after {polls} polls", begun.elapsed());
    }
    assert!((1..POLLS_MAX - 1).contains(&dropped), "{dropped} were dropped, and one was not");
    if f.database.is_mysql() {
        let connection = f.database.connect().await;
        let all_ended = async || !has_open_transactions(&connection).await;
        eventually("no transaction is open", CHANGE_MAX, all_ended).await;
    }
    let (counted, done) = (f.on_hand("a").await as usize, dropped + 1);
    assert!((done..=done + dropped).contains(&counted), "{counted} with {dropped} of which nobody knows");
}
