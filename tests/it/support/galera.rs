//! A Galera cluster of one node, which its clients cannot tell from a larger one.

use std::path::PathBuf;
use std::time::Duration;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use stockhold_servers::mariadb::{install, root_user};
use stockhold_servers::process::{Process, free_port, program};
use tempfile::TempDir;

use super::required;

/// The variable that names the provider, which `tests/run` installs.
const PROVIDER: &str = "STOCKHOLD_TEST_GALERA_PROVIDER";

/// A start takes a second or two. The bound is generous because the machine may be busy.
const START_MAX: Duration = Duration::from_secs(60);

/// One node; it is killed when it goes out of scope.
pub(crate) struct Galera {
    node: Process,
    port: u16,
    log: PathBuf,
    _folder: TempDir,
}

impl Galera {
    /// Starts one with an empty database.
    pub(crate) async fn start() -> Self {
        let provider = required(PROVIDER);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        install(&folder.path().join("data")).await.expect("MariaDB is installed: use tests/run");
        let [port, group_port, transfer_port] = [(); 3].map(|()| free_port());
        let addresses =
            format!("gmcast.listen_addr=tcp://127.0.0.1:{group_port};ist.recv_addr=127.0.0.1:{transfer_port}");
        let fixed = ["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--wsrep-on=ON"];
        let fixed = fixed.into_iter().chain(["--wsrep-cluster-address=gcomm://", "--wsrep-node-address=127.0.0.1"]);
        let fixed = fixed.chain(["--binlog-format=ROW", "--innodb-autoinc-lock-mode=2"]);
        let own = [
            format!("--datadir={}", path("data")),
            format!("--port={port}"),
            format!("--socket={}", path("socket")),
            format!("--pid-file={}", path("pid")),
            format!("--wsrep-provider={provider}"),
            format!("--wsrep-provider-options={addresses}"),
            "--innodb-buffer-pool-size=32M".to_owned(),
        ];
        let arguments: Vec<_> = fixed.map(str::to_owned).chain(own).chain(root_user()).collect();
        let program = program("mariadbd", "mariadb-server").expect("use tests/run");
        let log = folder.path().join("log");
        let node = Process::start("the Galera node", &program, &arguments, &[], &log);
        let mut galera = Self { node, port, log, _folder: folder };
        let url = galera.url("");
        galera.node.until_up(START_MAX, async || is_up(&url).await).await;
        galera
    }

    fn url(&self, schema: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{schema}", self.port)
    }

    /// The URL of its empty database.
    pub(crate) fn database_url(&self) -> String {
        self.url("stockhold")
    }

    /// A connection to its database.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        Database::connect(self.database_url()).await.expect("the node answers")
    }
}

/// A node answers before it has joined its cluster, and then refuses most statements.
async fn is_up(url: &str) -> bool {
    match Database::connect(url).await {
        Ok(connection) => connection.execute_unprepared("CREATE DATABASE IF NOT EXISTS stockhold").await.is_ok(),
        Err(_) => false,
    }
}

impl Drop for Galera {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            println!("the log of the Galera node:\n{log}");
        }
    }
}
