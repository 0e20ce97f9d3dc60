//! Databases for one test each: a SQLite file, or a schema of its own on the MySQL server that `tests/run` started.

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use tempfile::TempDir;

/// The server, as a URL without a database.
const SERVER: &str = "STOCKHOLD_TEST_DATABASE_URL";

/// An empty database.
pub(crate) struct TestDatabase {
    pub(crate) url: String,
    home: Home,
}

enum Home {
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

/// An empty schema. Without a server the test fails, for a test that skips itself proves nothing.
pub(crate) async fn mysql() -> TestDatabase {
    let Ok(server) = std::env::var(SERVER) else {
        panic!("{SERVER} is not set: run tests/run, which starts the servers")
    };
    let server = server.trim_end_matches('/').to_owned();
    let schema = format!("t_{}", uuid::Uuid::new_v4().simple());
    execute(&server, &format!("CREATE DATABASE {schema}")).await;
    TestDatabase { url: format!("{server}/{schema}"), home: Home::Server { url: server, schema } }
}

impl TestDatabase {
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
