//! MySQL alone: the rows of many orders in one transaction, sent as one packet, into the service's own tables.

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use sea_orm::sqlx::mysql::MySqlPool;
use sea_orm::sqlx::{self, Executor};
use sea_orm::{ConnectOptions, Database};

use super::repeat;
use crate::figures::Measured;
use crate::meter::Meter;
use crate::pace::Spans;
use crate::peer::mysql::connect;
use crate::workload::{location, new_id, sku};

/// It has the length of the service's fingerprints.
const FINGERPRINT: &str = "HI6r1REgg_Lm1UMlSGJQfA";

/// How long the bench waits for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

pub(crate) async fn commits(
    url: &str,
    orders: usize,
    workers: usize,
    spans: Spans,
    meter: &Meter,
) -> Result<Measured, Box<dyn Error>> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).connect_timeout(CONNECT_MAX).sqlx_logging(false);
    let migrating = Database::connect(options).await?;
    migrations::apply(&migrating).await?;
    migrating.close().await?;
    let pool = connect(url, &[]).await?;
    let row = format!("INSERT INTO stock VALUES ('{}', '{}', 1000000000, 0, 1, false)", location(0), sku(0));
    pool.execute(sqlx::AssertSqlSafe(row)).await?;
    let worker = |pool: MySqlPool| {
        async move || {
            sqlx::raw_sql(sqlx::AssertSqlSafe(transaction(orders))).execute(&pool).await?;
            Ok(())
        }
    };
    let workers = (0..workers).map(|_| worker(pool.clone())).collect();
    Ok(repeat(workers, spans, meter).await?.measured("confirmed_per_s", orders))
}

/// A transaction of this many orders, each of a unit of the hot sku. The hot row is locked last.
fn transaction(orders: usize) -> String {
    let (location, sku) = (location(0), sku(0));
    let (mut settlements, mut deductions) = (String::new(), String::new());
    for number in 0..orders {
        let (comma, id) = (if number == 0 { "" } else { "," }, new_id());
        // Writing into a string does not fail.
        let _ = write!(
            settlements,
            "{comma}('{location}','{id}','CONFIRMED','{FINGERPRINT}','{FINGERPRINT}',1795368293501)"
        );
        let _ = write!(deductions, "{comma}('{location}','{id}','{sku}',1,1795368293501761)");
    }
    format!(
        "BEGIN;INSERT INTO settlements VALUES {settlements};INSERT INTO deductions VALUES {deductions};\
         UPDATE stock SET on_hand = on_hand - {orders}, version = version + 1 \
         WHERE location = '{location}' AND sku = '{sku}';COMMIT"
    )
}
