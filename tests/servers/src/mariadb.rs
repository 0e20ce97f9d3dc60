//! A MariaDB server that a test can kill, stop and make read-only, and an auditor's own connection to its tables.
//!
//! Commits are as durable as in production.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, QueryResult, Statement,
};
use tokio::process::Command;

use crate::process::{Process, free_port, program as find_program};

/// The package that a missing program is in.
const PACKAGE: &str = "mariadb-server";

/// A server that was killed recovers from its log before it serves.
const START_MAX: Duration = Duration::from_secs(60);

/// How long the auditor waits for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The database and the user of the service. The user has no right that lets it write to a read-only server.
const SCHEMA: &str = "stockhold";
const USER: &str = "service";

/// One server; it is killed when it goes out of scope.
pub struct Mariadb {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    buffer_pool_mib: u32,
    process: Process,
}

impl Mariadb {
    /// Starts a server with an empty database and a buffer pool of this size. Its folder and its log are in `home`.
    ///
    /// # Errors
    /// It is not installed, or its folder cannot be made.
    pub async fn start(home: &Path, buffer_pool_mib: u32) -> Result<Self, String> {
        find_program("mariadb-admin", PACKAGE)?;
        let (program, folder) = (find_program("mariadbd", PACKAGE)?, home.join("mariadb"));
        install(&folder).await?;
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

    /// Its host and port.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The service's URL through this port. It is without TLS, so that a proxy can find COMMITs.
    pub fn service_url(port: u16) -> String {
        format!("mysql://{USER}@127.0.0.1:{port}/{SCHEMA}?ssl-mode=DISABLED")
    }

    /// Root's URL to a database of this name.
    pub fn root_url(&self, schema: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{schema}?ssl-mode=DISABLED", self.port)
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it (SIGKILL). Its port stays free for the restart.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends its process a signal: `STOP` halts it, `CONT` lets it go on.
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Restarts it with its data.
    pub async fn restart(&mut self) {
        self.process = launch(&self.program, &self.folder, self.port, self.buffer_pool_mib);
        self.until_up().await;
    }

    /// Runs a statement as root.
    pub async fn execute(&self, sql: &str) {
        let connection = self.connect("").await.unwrap_or_else(|error| panic!("MariaDB: {error}"));
        connection.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        // An error while closing harms nothing: this connection is used once.
        let _ = connection.close().await;
    }

    /// An auditor's connection to the service's database.
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

/// The service's tables, as an auditor reads them.
pub struct Books(DatabaseConnection);

impl Books {
    /// All rows of a query.
    pub async fn rows(&self, sql: &str) -> Vec<QueryResult> {
        let rows = self.0.query_all_raw(Statement::from_string(DbBackend::MySql, sql)).await;
        rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

/// Makes the data folder of a server whose root needs no password.
///
/// # Errors
/// MariaDB is not installed, or its installer fails.
pub async fn install(folder: &Path) -> Result<(), String> {
    let installed = Command::new(find_program("mariadb-install-db", PACKAGE)?)
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--datadir={}", folder.display()))
        .args(root_user())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| error.to_string())?;
    if installed.status.success() {
        Ok(())
    } else {
        Err(format!("mariadb-install-db failed: {}", String::from_utf8_lossy(&installed.stderr)))
    }
}

/// The argument without which MariaDB refuses to run as root; `None` for other users.
pub fn root_user() -> Option<String> {
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0);
    is_root.then(|| "--user=root".to_owned())
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
