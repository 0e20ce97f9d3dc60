//! All that differs between MySQL and SQLite. Most statements are built by sea-orm, which leaves out what an engine
//! does not know (`FOR UPDATE` and index hints in SQLite). How migrations keep out of each other's way stands in
//! `migrate`.

use std::time::Duration;

use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt};
use sea_orm::sea_query::{MysqlQueryBuilder, QueryBuilder, QueryStatementWriter, SqliteQueryBuilder};
use sea_orm::sqlx::mysql::MySqlDatabaseError;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, AssertSqlSafe, Connection, Executor};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, QueryTrait, RuntimeErr, Select,
    Statement,
};

use crate::ledger::ACQUIRE_TIMEOUT;
use crate::ledger::database::Failure;

/// A connection that was idle for this long is looked at before it is used: the server may have been restarted
/// meanwhile.
const IDLE_TRUSTED: Duration = Duration::from_secs(1);

/// How long a statement waits for a lock, on both engines. Locks are held for milliseconds; a batch with one row that
/// is held for longer is halved again and again, a wait each time.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Connections are replaced this often: after a failover those to the old primary, which may still answer, are gone
/// with it.
const LIFETIME: Duration = Duration::from_secs(60);

/// Connections that nobody needs for this long are closed at one of the next looks, which are taken as often: before
/// the server does it.
const IDLE: Duration = Duration::from_secs(3);

/// A connection that says nothing for so long is closed by the server, and what it has locked is free again: after that
/// time a location goes on whose instance vanished without a word in the midst of a transaction. Longer than a try may
/// take.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Enough for every statement that is prepared.
const STATEMENTS_KEPT: usize = 256;

/// Read committed takes no gap locks, so that rows are locked one by one and in order; and each statement sees what is
/// committed by then, so that what is read behind a lock is what its last holder left. Strict mode never cuts what does
/// not fit. Texts mean what sea-query has written because a backslash escapes (there is no `NO_BACKSLASH_ESCAPES`) and
/// is never the second half of a character, as it may be in what a URL could ask for. `lock_wait_timeout` is about the
/// locks that backups and changes of a table take.
fn mysql_session() -> String {
    let (wait_timeout_secs, lock_wait_secs) = (WAIT_TIMEOUT.as_secs(), LOCK_WAIT.as_secs());
    format!(
        "SET NAMES utf8mb4; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET SESSION wait_timeout = {wait_timeout_secs}, innodb_lock_wait_timeout = {lock_wait_secs}, lock_wait_timeout = {lock_wait_secs}, \
         sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
    )
}

/// The engine behind a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    MySql,
    Sqlite,
}

impl Dialect {
    /// The dialect that a URL asks for. The error does not show the URL: it may hold a password.
    pub(super) fn of_url(url: &str) -> Result<Self, DbErr> {
        match url.split_once(':') {
            Some(("mysql", _)) => Ok(Self::MySql),
            Some(("sqlite", _)) => Ok(Self::Sqlite),
            _ => Err(DbErr::Conn(RuntimeErr::Internal("the database URL must begin with mysql: or sqlite:".into()))),
        }
    }

    pub(super) fn backend(self) -> DbBackend {
        match self {
            Self::MySql => DbBackend::MySql,
            Self::Sqlite => DbBackend::Sqlite,
        }
    }

    /// How a pool is opened.
    pub(super) fn connect_options(url: &str, connections_max: u32) -> ConnectOptions {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(connections_max)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire_if_idle_for(IDLE_TRUSTED)
            .sqlx_logging(false)
            .map_sqlx_mysql_opts(|options| options.statement_cache_capacity(STATEMENTS_KEPT))
            .map_sqlx_mysql_pool_opts(|pool| {
                pool.idle_timeout(IDLE).max_lifetime(LIFETIME).after_connect(|connection, _| {
                    Box::pin(async move {
                        connection.execute(AssertSqlSafe(mysql_session())).await?;
                        Ok(())
                    })
                })
            })
            .map_sqlx_sqlite_opts(|options| {
                options
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(LOCK_WAIT)
                    .statement_cache_capacity(STATEMENTS_KEPT)
            });
        options
    }

    /// Connects once, without a pool, because a pool that cannot connect says only that it waited.
    pub(super) async fn probe(self, url: &str) -> Result<(), DbErr> {
        let connection_error = |error: sqlx::Error| DbErr::Conn(RuntimeErr::SqlxError(error.into()));
        match self {
            Self::MySql => sqlx::MySqlConnection::connect(url)
                .await
                .map_err(connection_error)?
                .close()
                .await
                .map_err(connection_error),
            // Its pool opens a file, which succeeds or fails at once.
            Self::Sqlite => Ok(()),
        }
    }

    /// Begins a transaction that will write: SQLite takes its write lock now, for a read that becomes a write may fail
    /// without waiting.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::MySql => "BEGIN",
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// A statement with its values, escaped.
    pub(super) fn text(self, statement: &impl QueryStatementWriter) -> String {
        match self {
            Self::MySql => statement.to_string(MysqlQueryBuilder),
            Self::Sqlite => statement.to_string(SqliteQueryBuilder),
        }
    }

    /// A value, escaped.
    pub(super) fn quoted(self, value: &str) -> String {
        let value = value.into();
        match self {
            Self::MySql => MysqlQueryBuilder.value_to_string(&value),
            Self::Sqlite => SqliteQueryBuilder.value_to_string(&value),
        }
    }

    /// As [`by_primary_key`], behind the name of a table that is joined: there sea-query knows no hints.
    pub(super) fn primary_key_hint(self) -> &'static str {
        match self {
            Self::MySql => "FORCE INDEX (PRIMARY)",
            Self::Sqlite => "",
        }
    }

    /// Microseconds since 1970 by the database's clock, in UTC whatever its time zone is.
    pub(super) fn now_micros(self) -> &'static str {
        match self {
            Self::MySql => "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) AS now_micros",
            Self::Sqlite => "SELECT CAST(ROUND(unixepoch('subsec') * 1000) * 1000 AS INTEGER) AS now_micros",
        }
    }

    /// How many queues there are, so that a location that stands still fills one of them only.
    pub(super) fn queues(self) -> usize {
        match self {
            Self::MySql => 2,
            Self::Sqlite => 1,
        }
    }

    /// How many batches of one queue commit at the same time: at least two, so that a location whose batch waits does
    /// not hold up the others of its queue. SQLite has one writer.
    pub(super) fn batches_at_once(self, connections_max: u32) -> usize {
        match self {
            Self::MySql => (connections_max / 4).clamp(2, 4) as usize,
            Self::Sqlite => 1,
        }
    }

    /// One sentence for each setting that weakens what was promised to callers.
    pub(super) async fn durability_warnings(self, db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
        let mut warnings = Vec::new();
        match self {
            Self::MySql => {
                let settings = self
                    .row(
                        db,
                        "SELECT CAST(@@GLOBAL.innodb_flush_log_at_trx_commit AS SIGNED) AS flush, \
                         CAST(@@GLOBAL.sync_binlog AS SIGNED) AS sync_binlog, CAST(@@GLOBAL.log_bin AS SIGNED) AS log_bin",
                    )
                    .await?;
                let flush: i64 = settings.try_get("", "flush")?;
                let sync_binlog: i64 = settings.try_get("", "sync_binlog")?;
                if flush != 1 {
                    warnings.push(format!(
                        "innodb_flush_log_at_trx_commit is {flush}, not 1: a crash of the database may lose the confirms of its last second, \
                         although their callers were told OK."
                    ));
                }
                if settings.try_get::<i64>("", "log_bin")? != 0 && sync_binlog != 1 {
                    warnings.push(format!(
                        "sync_binlog is {sync_binlog}, not 1: after a crash of the database's machine its replicas, and backups restored \
                         by the binary log, may lack confirms whose callers were told OK."
                    ));
                }
            }
            Self::Sqlite => {
                let synchronous: i64 = self.row(db, "PRAGMA synchronous").await?.try_get("", "synchronous")?;
                if synchronous < 2 {
                    warnings.push(format!(
                        "PRAGMA synchronous is {synchronous}, below FULL: a power loss may lose the latest confirms, although their callers \
                         were told OK."
                    ));
                }
            }
        }
        Ok(warnings)
    }

    /// The one row of a statement without parameters.
    pub(super) async fn row(self, db: &impl ConnectionTrait, sql: &str) -> Result<sea_orm::QueryResult, DbErr> {
        let row = db.query_one_raw(Statement::from_string(self.backend(), sql)).await?;
        row.ok_or_else(|| DbErr::RecordNotFound(sql.into()))
    }
}

/// Makes MySQL find rows by the primary key. Its optimizer may prefer a shorter index that begins with the location
/// too, and then reads, or worse locks, the whole location, in another order than everybody else.
pub(super) fn by_primary_key<E: EntityTrait>(mut select: Select<E>) -> Select<E> {
    select.query().force_index("PRIMARY", IndexHintScope::All);
    select
}

/// Tells what kind of failure an error is.
pub(super) fn failure(error: &DbErr) -> Failure {
    match error {
        DbErr::ConnectionAcquire(_) => Failure::NoConnection,
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => match &**cause {
            sqlx::Error::Database(cause) => match cause.try_downcast_ref::<MySqlDatabaseError>() {
                Some(cause) => mysql_failure(cause.number()),
                None => sqlite_failure(cause.code().as_deref()),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Failure::Connection,
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Failure::NoConnection,
            _ => Failure::Statement,
        },
        _ => Failure::Statement,
    }
}

fn mysql_failure(number: u16) -> Failure {
    match number {
        1062 => Failure::Duplicate,
        // Lock wait timeout, deadlock, and (MariaDB) a row changed since the snapshot.
        1205 | 1213 | 1020 => Failure::Collision,
        // Too many connections, access while starting, shutdown, killed, interrupted, and read-only as a demoted
        // primary is.
        1040 | 1053 | 1077 | 1152 | 1184 | 1290 | 1317 | 1792 | 1836 | 1927 | 3169 | 4031 => Failure::Connection,
        _ => Failure::Statement,
    }
}

fn sqlite_failure(code: Option<&str>) -> Failure {
    // The low byte is the primary code: 5 is busy, 6 is locked. 1555 and 2067 are duplicate keys.
    match code.and_then(|code| code.parse::<u32>().ok()) {
        Some(1555 | 2067) => Failure::Duplicate,
        Some(code) if matches!(code & 0xff, 5 | 6) => Failure::Collision,
        _ => Failure::Statement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart() {
        for (number, expected) in [
            (1062, Failure::Duplicate),
            (1213, Failure::Collision),
            (1927, Failure::Connection),
            (1146, Failure::Statement),
        ] {
            assert_eq!(mysql_failure(number), expected, "{number}");
        }
        for (code, expected) in [
            ("5", Failure::Collision),
            ("517", Failure::Collision),
            ("1555", Failure::Duplicate),
            ("11", Failure::Statement),
        ] {
            assert_eq!(sqlite_failure(Some(code)), expected, "{code}");
        }
    }

    #[test]
    fn an_unknown_url_is_refused_without_being_shown() {
        let error = Dialect::of_url("postgres://user:secret@host/db").expect_err("refused").to_string();
        assert!(error.contains("mysql:") && !error.contains("secret"), "{error}");
    }
}
