//! All that differs between MySQL and SQLite. Most statements are built by sea-orm, which leaves out what an engine
//! does not know (`FOR UPDATE` and index hints in SQLite). How migrations keep out of each other's way stands in
//! `migrate`.

use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt};
use sea_orm::sea_query::{MysqlQueryBuilder, QueryBuilder, QueryStatementWriter, SqliteQueryBuilder};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, QueryTrait, Select, Statement};

/// The settings of MySQL that decide whether a commit survives a crash.
const DURABILITY: &str = "SELECT CAST(@@GLOBAL.innodb_flush_log_at_trx_commit AS SIGNED) AS flush, \
                          CAST(@@GLOBAL.sync_binlog AS SIGNED) AS sync_binlog, \
                          CAST(@@GLOBAL.log_bin AS SIGNED) AS log_bin";

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

    /// Begins a transaction that will write. SQLite takes its write lock now, because a read that becomes a write may
    /// fail without waiting.
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

    /// The same as [`by_primary_key`], behind the name of a joined table, where sea-query knows no hints.
    pub(super) fn primary_key_hint(self) -> &'static str {
        match self {
            Self::MySql => "FORCE INDEX (PRIMARY)",
            Self::Sqlite => "",
        }
    }

    /// Reads the database's clock.
    pub(super) fn now_micros(self) -> String {
        format!("SELECT {} AS now_micros", self.now_micros_expression())
    }

    /// Microseconds since 1970 by the database's clock, in UTC whatever its time zone is.
    fn now_micros_expression(self) -> &'static str {
        match self {
            Self::MySql => "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
            Self::Sqlite => "CAST(ROUND(unixepoch('subsec') * 1000) * 1000 AS INTEGER)",
        }
    }

    /// How many queues there are. A location that stands still fills only one of them.
    pub(super) fn queues(self) -> usize {
        match self {
            Self::MySql => 2,
            Self::Sqlite => 1,
        }
    }

    /// How many batches of one queue commit at the same time. At least two on MySQL, so that a location whose batch
    /// waits for a lock does not hold up the others of its queue. SQLite has one writer.
    pub(super) fn batches_at_once(self, connections_max: u32) -> usize {
        match self {
            Self::MySql => (connections_max / 4).clamp(2, 4) as usize,
            Self::Sqlite => 1,
        }
    }

    /// A write that is as much work for the database as any commit, and changes only a row that means nothing.
    pub(super) fn write_probe(self) -> String {
        let existing = match self {
            Self::MySql => "ON DUPLICATE KEY UPDATE written_at_micros = VALUES(written_at_micros)",
            Self::Sqlite => "ON CONFLICT (id) DO UPDATE SET written_at_micros = excluded.written_at_micros",
        };
        let now_micros = self.now_micros_expression();
        format!("INSERT INTO write_probe (id, written_at_micros) VALUES (1, {now_micros}) {existing}")
    }

    /// Product and version.
    pub(super) async fn about(self, db: &DatabaseConnection) -> Result<String, DbErr> {
        let sql = match self {
            Self::MySql => "SELECT VERSION() AS version",
            Self::Sqlite => "SELECT sqlite_version() AS version",
        };
        let version: String = self.row(db, sql).await?.try_get("", "version")?;
        let product = match self {
            Self::MySql if version.contains("MariaDB") => "MariaDB",
            Self::MySql => "MySQL",
            Self::Sqlite => "SQLite",
        };
        Ok(format!("{product} {version}"))
    }

    /// One sentence for each setting that weakens what was promised to callers.
    pub(super) async fn durability_warnings(self, db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
        let mut warnings = Vec::new();
        match self {
            Self::MySql => {
                let settings = self.row(db, DURABILITY).await?;
                let flush: i64 = settings.try_get("", "flush")?;
                let sync_binlog: i64 = settings.try_get("", "sync_binlog")?;
                if flush != 1 {
                    warnings.push(format!(
                        "innodb_flush_log_at_trx_commit is {flush}, not 1: a crash of the database may lose the \
                         confirms of its last second, although their callers were told OK."
                    ));
                }
                if settings.try_get::<i64>("", "log_bin")? != 0 && sync_binlog != 1 {
                    warnings.push(format!(
                        "sync_binlog is {sync_binlog}, not 1: after a crash of the database's machine its replicas, \
                         and backups restored by the binary log, may lack confirms whose callers were told OK."
                    ));
                }
            }
            Self::Sqlite => {
                let synchronous: i64 = self.row(db, "PRAGMA synchronous").await?.try_get("", "synchronous")?;
                if synchronous < 2 {
                    warnings.push(format!(
                        "PRAGMA synchronous is {synchronous}, below FULL: a power loss may lose the latest confirms, \
                         although their callers were told OK."
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
/// too. Then it reads, or worse locks, the whole location, in another order than all other transactions.
pub(super) fn by_primary_key<E: EntityTrait>(mut select: Select<E>) -> Select<E> {
    select.query().force_index("PRIMARY", IndexHintScope::All);
    select
}

/// Makes MySQL find rows by the index over the versions of a location, which ends with the sku as the primary key does.
pub(super) fn by_version<E: EntityTrait>(mut select: Select<E>) -> Select<E> {
    select.query().force_index("stock_by_version", IndexHintScope::All);
    select
}
