//! The lease of the books. Summing them up is heavy on the database, so one instance at a time does it.

use sea_orm::DatabaseConnection;

use super::dialect::Dialect;
use super::open::{Address, one_session};
use super::pool::Pool;
use crate::ledger::error::{DatabaseError, Failure, LedgerError};

/// The lock that instances of one database share. A name has at most 64 characters. The ledger gives up
/// before this wait ends.
const MYSQL_LOCK: &str = "SELECT CAST(COALESCE(GET_LOCK(CONCAT('stockhold.books.', LEFT(SHA2(DATABASE(), 256), 40)), \
    3600), 0) AS SIGNED) AS locked";

/// Waits for the lease. It belongs to the session that is answered: the end of the session gives it back, also when
/// this instance vanishes. `None`: the engine needs no lease, because SQLite serves one instance.
pub(super) async fn of_books(pool: &Pool) -> Result<Option<DatabaseConnection>, LedgerError> {
    let Address::MySql(options) = pool.address() else { return Ok(None) };
    let session = one_session(options).await?;
    let locked: i64 = Dialect::MySql.row(&session, MYSQL_LOCK).await?.try_get("", "locked")?;
    if locked == 1 {
        return Ok(Some(session));
    }
    Err(DatabaseError::new(Failure::Silence, "another instance has been reading the books for an hour").into())
}
