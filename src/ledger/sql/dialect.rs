//! All that differs between MySQL and SQLite. Most statements are built by sea-orm, which leaves out what an engine
//! does not know (`FOR UPDATE` and index hints in SQLite). How migrations keep out of each other's way stands in
//! `migrate`.

use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt};
use sea_orm::sea_query::{MysqlQueryBuilder, QueryBuilder, QueryStatementWriter, SqliteQueryBuilder};
use sea_orm::sqlx;
use sea_orm::sqlx::mysql::MySqlDatabaseError;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, QueryTrait, RuntimeErr, Select, Statement,
};

use crate::ledger::database::Failure;

/// The engine behind a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    MySql,
    Sqlite,
}

impl Dialect {
    pub(super) fn backend(self) -> DbBackend {
        match self {
            Self::MySql => DbBackend::MySql,
            Self::Sqlite => DbBackend::Sqlite,
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
}
