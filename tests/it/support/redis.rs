//! A view of Redis past the service, and servers of a test's own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fred::prelude::*;
use fred::types::{ClusterHash, CustomCommand};
use tempfile::TempDir;

/// A connection of the test's own, as `redis-cli` would have.
pub(crate) async fn client(url: &str) -> Client {
    let config = Config::from_url(url).expect("a Redis URL");
    let client = Builder::from_config(config).build().expect("a client");
    client.init().await.expect("connects to Redis");
    client
}

/// Runs one command.
pub(crate) async fn run<T: FromValue>(client: &Client, command: &'static str, args: &[&str]) -> T {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    client.custom(CustomCommand::new_static(command, ClusterHash::FirstKey, false), args).await.expect("Redis answers")
}

/// A redis-server that one test has for itself, gone when it is dropped.
pub(crate) struct PrivateRedis {
    process: Child,
    pub(crate) url: String,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl PrivateRedis {
    pub(crate) async fn start(settings: &[&str]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        Self::start_at(address.expect("a free port").port(), settings).await
    }

    pub(crate) async fn start_at(port: u16, settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""])
            .args(settings)
            .current_dir(folder.path())
            // It must not keep the output of the tests open, should it outlive them.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed: use tests/run");
        let url = format!("redis://127.0.0.1:{port}");
        // From here on it is stopped whatever happens.
        let server = Self { process, url, port, _folder: folder };
        super::eventually("redis-server listens", Duration::from_secs(10), async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        server
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
