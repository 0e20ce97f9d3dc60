//! A MariaDB server that can be killed, stopped and made read-only, and what an auditor asks it, past the service.
//!
//! Commits are always as durable as in production.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, QueryResult, Statement,
};
use tokio::process::Command;

use crate::process::{Process, free_port, program as find_program};

/// What is installed where there is no server.
const PACKAGE: &str = "mariadb-server";

/// It recovers from its log first if it was killed.
const START_MAX: Duration = Duration::from_secs(60);

/// How long the auditor waits for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The database of the service, and the user that it is: not one who may write to a server that is read-only.
const SCHEMA: &str = "stockhold";
const USER: &str = "service";

/// One server with a folder of its own.
pub struct Mariadb {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    buffer_pool_mib: u32,
    process: Process,
}

impl Mariadb {
    /// Starts one with an empty database, and so much memory for its pages.
    ///
    /// # Errors
    /// It is not installed, or its folder cannot be made.
    pub async fn start(home: &Path, buffer_pool_mib: u32) -> Result<Self, String> {
        find_program("mariadb-admin", PACKAGE)?;
        let (program, install) = (find_program("mariadbd", PACKAGE)?, find_program("mariadb-install-db", PACKAGE)?);
        let folder = home.join("mariadb");
        let installed = Command::new(install)
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", folder.display()))
            .args(root_user())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| error.to_string())?;
        if !installed.status.success() {
            return Err(format!("mariadb-install-db failed: {}", String::from_utf8_lossy(&installed.stderr)));
        }
        let port = free_port();
        let process = launch(&program, &folder, port, buffer_pool_mib);
        let mut server = Self { program, folder, port, buffer_pool_mib, process };
        server.until_up().await;
        for statement in [
            format!("CREATE DATABASE {SCHEMA}"),
            format!("CREATE USER {USER}@'127.0.0.1'"),
            format!("GRANT SELECT, INSERT, UPDATE, CREATE ON {SCHEMA}.* TO {USER}@'127.0.0.1'"),
        ] {
            server.execute(&statement).await;
        }
        Ok(server)
    }

    /// Its address.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The URL of the service that goes by this port. Without TLS, so that a proxy can read along.
    pub fn service_url(port: u16) -> String {
        format!("mysql://{USER}@127.0.0.1:{port}/{SCHEMA}?ssl-mode=DISABLED")
    }

    /// The URL of the user who may do everything, to a database of this name.
    pub fn root_url(&self, schema: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{schema}?ssl-mode=DISABLED", self.port)
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it in its tracks (`STOP`), or lets it go on (`CONT`).
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Starts it again with all that it had.
    pub async fn restart(&mut self) {
        self.process = launch(&self.program, &self.folder, self.port, self.buffer_pool_mib);
        self.until_up().await;
    }

    /// Runs a statement as root.
    pub async fn execute(&self, sql: &str) {
        let connection = self.connect("").await.unwrap_or_else(|error| panic!("MariaDB: {error}"));
        connection.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        // It is the auditor's own, and of no further use.
        let _ = connection.close().await;
    }

    /// A connection of the auditor's to the database of the service.
    pub async fn books(&self) -> Books {
        let connected = self.connect(SCHEMA).await;
        Books(connected.unwrap_or_else(|error| panic!("MariaDB: {error}")))
    }

    async fn connect(&self, schema: &str) -> Result<DatabaseConnection, DbErr> {
        let mut options = ConnectOptions::new(self.root_url(schema));
        options.max_connections(1).connect_timeout(CONNECT_MAX).acquire_timeout(CONNECT_MAX).sqlx_logging(false);
        Database::connect(options).await
    }

    async fn until_up(&mut self) {
        let socket = socket(&self.folder);
        self.process
            .until_up(START_MAX, async || {
                let asked = Command::new("mariadb-admin")
                    .args(["--no-defaults", "--user=root", "ping"])
                    .arg(format!("--socket={}", socket.display()))
                    .kill_on_drop(true)
                    .output()
                    .await;
                asked.is_ok_and(|answer| answer.status.success())
            })
            .await;
    }
}

/// The tables of the service, as the auditor reads them.
pub struct Books(DatabaseConnection);

impl Books {
    /// All rows of a query.
    pub async fn rows(&self, sql: &str) -> Vec<QueryResult> {
        let rows = self.0.query_all_raw(Statement::from_string(DbBackend::MySql, sql)).await;
        rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

/// MariaDB refuses to run as root unless told to.
fn root_user() -> Vec<String> {
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0);
    if is_root { vec!["--user=root".to_owned()] } else { vec![] }
}

fn socket(folder: &Path) -> PathBuf {
    folder.with_extension("sock")
}

fn launch(program: &Path, folder: &Path, port: u16, buffer_pool_mib: u32) -> Process {
    let mut arguments = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={}", folder.display()),
        format!("--port={port}"),
        format!("--socket={}", socket(folder).display()),
        format!("--pid-file={}", folder.with_extension("pid").display()),
        format!("--innodb-buffer-pool-size={buffer_pool_mib}M"),
    ];
    let fixed = [
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--max-connections=200",
        "--innodb-flush-log-at-trx-commit=1",
    ];
    arguments.extend(fixed.map(ToOwned::to_owned));
    arguments.extend(root_user());
    Process::start("mariadbd", program, &arguments, &[], &folder.with_extension("log"))
}
