//! How connections to the database are opened, and what a server must be before anything is asked of it.
//!
//! Connections are opened from parsed options and never from a URL: sea-orm writes the URL that it is given into a
//! trace span, with its password.

use std::time::Duration;

use sea_orm::sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::sqlx::{self, AssertSqlSafe, ConnectOptions, Connection, MySqlConnection, Row};
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr};

use super::dialect::Dialect;
use crate::ledger::error::{Failure, LedgerError};
use crate::ledger::repeat::ACQUIRE_TIMEOUT;

/// A connection that was idle for this long is pinged before it is used, because the server may have been restarted
/// meanwhile.
const IDLE_TRUSTED: Duration = Duration::from_secs(1);

/// How long a statement waits for a lock, on both engines. Locks are held for milliseconds. A batch that needs one row
/// which is locked for longer is halved again and again, with one wait each time.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Connections are replaced this often. After a failover those to the old primary, which may still answer, are gone
/// within this time.
const LIFETIME: Duration = Duration::from_secs(60);

/// Connections that are unused for this long are closed, before the server closes them.
const IDLE: Duration = Duration::from_secs(3);

/// The server closes a connection that says nothing for this long, and releases its locks. So a location goes on after
/// this time when an instance vanished silently within a transaction. It is longer than a try may take.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Enough for every statement that is prepared.
const STATEMENTS_KEPT: usize = 256;

/// What every session is set to.
/// - Read committed takes no gap locks, so rows are locked one by one and in order. Each statement sees what is
///   committed when it runs, so a read behind a lock sees what the last holder of the lock wrote.
/// - Strict mode never truncates a value that does not fit.
/// - Texts mean what sea-query wrote: a backslash escapes (`NO_BACKSLASH_ESCAPES` is off) and is never the second half
///   of a character, which other character sets allow.
/// - `lock_wait_timeout` is about the locks of backups and table changes.
fn mysql_session() -> String {
    let (wait_timeout_secs, lock_wait_secs) = (WAIT_TIMEOUT.as_secs(), LOCK_WAIT.as_secs());
    format!(
        "SET NAMES utf8mb4; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET SESSION wait_timeout = {wait_timeout_secs}, innodb_lock_wait_timeout = {lock_wait_secs}, \
         lock_wait_timeout = {lock_wait_secs}, \
         sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'; \
         SHOW GLOBAL VARIABLES LIKE 'wsrep_on'"
    )
}

const GALERA: &str = "the database server is a Galera node (wsrep_on is ON). Galera can abort a transaction in the \
                      middle and run the rest of it on its own, which loses confirmed orders. \
                      Use a server with wsrep_on = OFF";

/// Where the database is and how to reach it. It has no `Debug`, because it holds the password.
pub(super) enum Address {
    MySql(MySqlConnectOptions),
    Sqlite(SqliteConnectOptions),
}

impl Address {
    /// Reads a URL. The error does not show the URL, because it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, LedgerError> {
        match url.split_once(':') {
            Some(("mysql", _)) => {
                let options: MySqlConnectOptions = url.parse().map_err(connection_error)?;
                Ok(Self::MySql(options.statement_cache_capacity(STATEMENTS_KEPT).disable_statement_logging()))
            }
            Some(("sqlite", _)) => {
                let options: SqliteConnectOptions = url.parse().map_err(connection_error)?;
                let options = options
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(LOCK_WAIT)
                    .statement_cache_capacity(STATEMENTS_KEPT);
                Ok(Self::Sqlite(options.disable_statement_logging()))
            }
            _ => Err(LedgerError::Unsuitable("the database URL must begin with mysql: or sqlite:".into())),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::MySql(_) => Dialect::MySql,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Connects once without a pool, because a pool that cannot connect says only that it waited.
    pub(super) async fn probe(&self) -> Result<(), LedgerError> {
        match self {
            Self::MySql(options) => {
                let mut connection = MySqlConnection::connect_with(options).await.map_err(connection_error)?;
                begin_session(&mut connection).await?;
                connection.close().await.map_err(connection_error)
            }
            // Its pool opens a file, which succeeds or fails at once.
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// Opens a pool of at most so many connections.
    pub(super) async fn pool(&self, connections_max: u32) -> Result<DatabaseConnection, LedgerError> {
        match self {
            Self::MySql(options) => {
                let pool = tested(mysql_pool()).max_connections(connections_max);
                let pool = pool.idle_timeout(IDLE).max_lifetime(LIFETIME).connect_with(options.clone()).await;
                Ok(pool.map_err(connection_error)?.into())
            }
            Self::Sqlite(options) => {
                let pool = tested(SqlitePoolOptions::new()).max_connections(connections_max);
                let pool = pool.connect_with(options.clone()).await;
                Ok(pool.map_err(|error| unsuitable_if_unwritable(connection_error(error)))?.into())
            }
        }
    }
}

/// A pool of one MySQL connection that nothing replaces: what is bound to a session lives as long as the pool.
pub(super) async fn one_session(options: &MySqlConnectOptions) -> Result<DatabaseConnection, LedgerError> {
    let pool = mysql_pool().max_connections(1).idle_timeout(None).max_lifetime(None);
    Ok(pool.connect_with(options.clone()).await.map_err(connection_error)?.into())
}

fn mysql_pool() -> MySqlPoolOptions {
    MySqlPoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).after_connect(|connection, _| {
        Box::pin(
            async move { begin_session(connection).await.map_err(|error| sqlx::Error::Configuration(error.into())) },
        )
    })
}

fn tested<DB: sqlx::Database>(pool: PoolOptions<DB>) -> PoolOptions<DB> {
    pool.acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false).before_acquire(|connection, was| {
        Box::pin(async move {
            if was.idle_for >= IDLE_TRUSTED {
                connection.ping().await?;
            }
            Ok(true)
        })
    })
}

/// Sets a new MySQL session up, and refuses a server that the ledger cannot work with. Every new connection comes by
/// here, because the server behind an address may change.
async fn begin_session(connection: &mut MySqlConnection) -> Result<(), LedgerError> {
    let answered = sqlx::raw_sql(AssertSqlSafe(mysql_session())).fetch_all(connection).await;
    // MySQL has no such variable; MariaDB has it with and without Galera.
    for variable in answered.map_err(connection_error)? {
        let value: String = variable.try_get("Value").map_err(connection_error)?;
        if value.eq_ignore_ascii_case("ON") || value == "1" {
            return Err(LedgerError::Unsuitable(GALERA.into()));
        }
    }
    Ok(())
}

/// A database that takes no writes is of no use from the start. The words say what to do about it.
pub(super) fn unsuitable_if_unwritable(error: LedgerError) -> LedgerError {
    match &error {
        LedgerError::Unavailable(cause) if cause.failure == Failure::Unwritable => LedgerError::Unsuitable(format!(
            "it takes no writes: {cause}. Check that it is not read-only (mode= in a SQLite URL), that this user may \
             write to it (to a SQLite file and its folder), and that its disk is not full"
        )),
        _ => error,
    }
}

fn connection_error(error: sqlx::Error) -> LedgerError {
    DbErr::Conn(RuntimeErr::SqlxError(error.into())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_url_is_refused_without_being_shown() {
        let Err(error) = Address::parse("postgres://user:secret@host/db") else { panic!("it was accepted") };
        let error = error.to_string();
        assert!(error.contains("mysql:") && !error.contains("secret"), "{error}");
    }
}
