//! A migration that creates one table with its index.
//!
//! MySQL commits before and after every statement that changes a schema, so a crash can leave a statement done and its
//! migration not noted. To make this harmless a MySQL migration is one statement that may be repeated: the index is
//! part of `CREATE TABLE IF NOT EXISTS`. SQLite has no such clause, but runs all migrations in one transaction.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

/// Names are compared byte for byte: case, accents and trailing spaces make another name.
const MYSQL_OPTIONS: &str = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin";

/// Rows lie in the order of the primary key, as InnoDB's do.
const SQLITE_OPTIONS: &str = "WITHOUT ROWID";

/// A table, in SQL that both engines understand.
pub(crate) struct NewTable {
    pub(crate) migration: &'static str,
    pub(crate) table: &'static str,
    pub(crate) columns: &'static str,
    pub(crate) index: Option<(&'static str, &'static str)>,
}

impl NewTable {
    fn statements(&self, backend: DbBackend) -> Vec<String> {
        let Self { table, columns, .. } = self;
        match (backend, self.index) {
            (DbBackend::MySql, Some((name, key))) => {
                vec![format!("CREATE TABLE IF NOT EXISTS {table} ({columns}, INDEX {name} ({key})) {MYSQL_OPTIONS}")]
            }
            (DbBackend::MySql, None) => vec![format!("CREATE TABLE IF NOT EXISTS {table} ({columns}) {MYSQL_OPTIONS}")],
            (_, index) => {
                let index = index.map(|(name, key)| format!("CREATE INDEX {name} ON {table} ({key})"));
                [format!("CREATE TABLE {table} ({columns}) {SQLITE_OPTIONS}")].into_iter().chain(index).collect()
            }
        }
    }
}

impl MigrationName for NewTable {
    fn name(&self) -> &str {
        self.migration
    }
}

#[async_trait::async_trait]
impl MigrationTrait for NewTable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in self.statements(manager.get_database_backend()) {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }
}
