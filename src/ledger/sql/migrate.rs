//! Brings the tables up to date, safely when several instances start at once: one migrates, the others wait for it.

use sea_orm::{ConnectionTrait, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait};

use super::dialect::Dialect;
use super::open::{Address, one_session};
use super::pool::Pool;
use crate::ledger::error::LedgerError;

/// The lock that instances of one database share. A name has at most 64 characters. (MySQL 9.6 and later have no SHA1.)
const MYSQL_LOCK: &str =
    "SELECT CAST(COALESCE(GET_LOCK(CONCAT('stockhold.', LEFT(SHA2(DATABASE(), 256), 40)), 60), 0) AS SIGNED) AS locked";

pub(super) async fn migrate(pool: &Pool) -> Result<usize, LedgerError> {
    match pool.address() {
        Address::MySql(options) => {
            // The lock belongs to a session. Its end releases the lock, also when this instance vanishes.
            let alone = one_session(options).await?;
            alone.execute_unprepared("SET SESSION wait_timeout = 30, lock_wait_timeout = 60").await?;
            let locked: i64 = Dialect::MySql.row(&alone, MYSQL_LOCK).await?.try_get("", "locked")?;
            let applied = if locked == 1 {
                migrations::apply(&alone).await
            } else {
                Err(DbErr::Migration("another instance has been migrating for a minute".into()))
            };
            alone.close().await?;
            Ok(applied?)
        }
        Address::Sqlite(_) => {
            // The write lock is taken now: a read that becomes a write may fail without waiting.
            let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
            let options = TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() };
            let transaction = pool.db().begin_with_options(options).await?;
            let applied = migrations::apply(&transaction).await?;
            transaction.commit().await?;
            Ok(applied)
        }
    }
}
