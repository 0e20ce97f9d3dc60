//! A Galera cluster of one node, which is a real one for whoever connects to it.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use tempfile::TempDir;

use super::{eventually, required};

/// The provider, which `tests/run` installs.
const PROVIDER: &str = "STOCKHOLD_TEST_GALERA_PROVIDER";

/// It is up within a second or two, on a machine that has nothing else to do.
const START_MAX: Duration = Duration::from_secs(60);

/// One node; it is killed when it goes out of scope.
pub(crate) struct Galera {
    node: Child,
    port: u16,
    folder: TempDir,
}

impl Galera {
    /// Starts one with an empty database.
    pub(crate) async fn start() -> Self {
        let provider = required(PROVIDER);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let is_root = std::fs::metadata(folder.path()).expect("a folder").uid() == 0;
        // MariaDB refuses to run as root unless told to.
        let user = is_root.then_some("--user=root");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let data = format!("--datadir={}", path("data"));
        let installed = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &data])
            .args(user)
            .output()
            .expect("mariadb-install-db runs");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));

        let [port, group_port, transfer_port] = free_ports();
        let addresses =
            format!("gmcast.listen_addr=tcp://127.0.0.1:{group_port};ist.recv_addr=127.0.0.1:{transfer_port}");
        let node = Command::new("mariadbd")
            .args(["--no-defaults", &data, "--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args([format!("--port={port}"), format!("--socket={}", path("socket"))])
            .arg(format!("--pid-file={}", path("pid")))
            .args(["--wsrep-on=ON", "--wsrep-cluster-address=gcomm://", "--wsrep-node-address=127.0.0.1"])
            .args([format!("--wsrep-provider={provider}"), format!("--wsrep-provider-options={addresses}")])
            .args(["--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--innodb-buffer-pool-size=32M"])
            .args(user)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log(folder.path()))
            .spawn()
            .expect("mariadbd starts");
        let galera = Self { node, port, folder };
        eventually("the Galera node is up", START_MAX, async || galera.is_up().await).await;
        galera
    }

    async fn is_up(&self) -> bool {
        match Database::connect(self.url("")).await {
            // A node answers before it has joined its cluster, and then refuses every statement but a few.
            Ok(connection) => connection.execute_unprepared("CREATE DATABASE IF NOT EXISTS stockhold").await.is_ok(),
            Err(_) => false,
        }
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

impl Drop for Galera {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            println!("the log of the Galera node:\n{log}");
        }
    }
}

fn log(folder: &Path) -> std::fs::File {
    std::fs::File::create(folder.join("log")).expect("a log")
}

/// Ports that were free together a moment ago.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
