//! Databases for one test each: in memory, a SQLite file, or a schema of its own on the MySQL server that `tests/run`
//! started.

use std::sync::Arc;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use stockhold::ledger::{Ledger, LedgerConfig, LedgerError};
use tempfile::TempDir;

use super::memory_database::{Calm, MemoryDatabase, Server};
use super::required;

/// The variable that holds the server's URL, without a database.
const SERVER: &str = "STOCKHOLD_TEST_DATABASE_URL";

/// An empty database.
pub(crate) struct TestDatabase {
    pub(crate) url: String,
    home: Home,
}

enum Home {
    /// Freed when dropped.
    Memory(Arc<Server>),
    /// Removed when dropped.
    Folder {
        _folder: TempDir,
    },
    Server {
        url: String,
        schema: String,
    },
}

/// An empty SQLite file.
pub(crate) fn sqlite() -> TestDatabase {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("ledger.db").display());
    TestDatabase { url, home: Home::Folder { _folder: folder } }
}

/// Empty tables in memory.
pub(crate) fn memory() -> TestDatabase {
    TestDatabase { url: String::new(), home: Home::Memory(Arc::default()) }
}

/// An empty schema. Without a server the test fails, because a test that skips itself proves nothing.
pub(crate) async fn mysql() -> TestDatabase {
    let server = required(SERVER).trim_end_matches('/').to_owned();
    let schema = format!("t_{}", uuid::Uuid::new_v4().simple());
    execute(&server, &format!("CREATE DATABASE {schema}")).await;
    TestDatabase { url: format!("{server}/{schema}"), home: Home::Server { url: server, schema } }
}

impl TestDatabase {
    /// A ledger over it with this configuration, except for the URL. It is not migrated.
    pub(crate) async fn open(&self, config: &LedgerConfig) -> Result<Ledger, LedgerError> {
        match &self.home {
            Home::Memory(server) => {
                let database = MemoryDatabase::new(Arc::clone(server), 0, Arc::new(Calm));
                Ok(Ledger::over(Arc::new(database), config.queue_max, config.batch_max))
            }
            _ => Ledger::connect(&LedgerConfig { url: self.url.clone(), ..config.clone() }).await,
        }
    }

    pub(crate) fn is_mysql(&self) -> bool {
        matches!(self.home, Home::Server { .. })
    }

    /// A connection beside those of the service under test.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        connect(&self.url).await
    }

    /// Removes it. A test that failed leaves its database behind.
    pub(crate) async fn remove(self) {
        if let Home::Server { url, schema } = &self.home {
            execute(url, &format!("DROP DATABASE {schema}")).await;
        }
    }
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.expect("the database of the test")
}

async fn execute(url: &str, sql: &str) {
    let connection = connect(url).await;
    connection.execute_unprepared(sql).await.expect(sql);
    connection.close().await.expect("closes");
}
