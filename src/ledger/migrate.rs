//! Brings the tables up to date, safely when several instances start at once: one migrates, the others wait for it.

use sea_orm::{Database, DbErr};

use super::LedgerError;
use super::dialect::Dialect;
use super::pool::Pool;
use super::tables::begin;

/// The lock that instances of one database share. A name has at most 64 characters. (MySQL 9.6 and later have no SHA1.)
const MYSQL_LOCK: &str =
    "SELECT CAST(COALESCE(GET_LOCK(CONCAT('stockhold.', LEFT(SHA2(DATABASE(), 256), 40)), 60), 0) AS SIGNED) AS locked";

pub(super) async fn migrate(pool: &Pool) -> Result<usize, LedgerError> {
    let dialect = pool.dialect();
    match dialect {
        Dialect::MySql => {
            // The lock belongs to a connection, so there must be only one; closing it releases the lock.
            let alone = Database::connect(Dialect::connect_options(pool.url(), 1)).await?;
            let locked: i64 = dialect.row(&alone, MYSQL_LOCK).await?.try_get("", "locked")?;
            let applied = if locked == 1 {
                migrations::apply(&alone).await
            } else {
                Err(DbErr::Migration("another instance has been migrating for a minute".into()))
            };
            alone.close().await?;
            Ok(applied?)
        }
        Dialect::Sqlite => {
            let transaction = begin(&pool.db()).await?;
            let applied = migrations::apply(&transaction).await?;
            transaction.commit().await?;
            Ok(applied)
        }
    }
}
