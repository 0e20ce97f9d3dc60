//! A redis-server that a test can kill, stop, empty and rewind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{Process, free_port, program};

/// A start takes well under a second. The bound is generous because the machine may be busy.
const START_MAX: Duration = Duration::from_secs(20);

/// When a write reaches the disk.
#[derive(Clone, Copy, Debug)]
pub enum Fsync {
    /// Before it is answered. A killed server loses nothing.
    Always,
    /// Within a second, as in production. A killed server may lose the last second.
    EverySecond,
}

/// One server; it is killed when it goes out of scope.
pub struct Redis {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    fsync: Fsync,
    /// What this server was started with beside what all servers are.
    settings: Vec<String>,
    process: Process,
    /// Removed after the process has ended, if the server has its folder to itself.
    _home: Option<TempDir>,
}

impl Redis {
    /// Starts an empty server for one test, with these settings. Its folder is removed with it.
    pub async fn private(settings: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let started = Self::start_with(home.path(), "redis", Fsync::EverySecond, settings).await;
        Self { _home: Some(home), ..started.unwrap_or_else(|error| panic!("{error}, or use tests/run")) }
    }

    /// Starts an empty server. Its folder and its log are in `home`, under this name.
    ///
    /// # Errors
    /// It is not installed, or its folder cannot be made.
    pub async fn start(home: &Path, name: &str, fsync: Fsync) -> Result<Self, String> {
        Self::start_with(home, name, fsync, &[]).await
    }

    /// Starts an empty server as [`start`](Self::start) does, with settings that it keeps at every restart.
    ///
    /// # Errors
    /// It is not installed, or its folder cannot be made.
    pub async fn start_with(home: &Path, name: &str, fsync: Fsync, settings: &[&str]) -> Result<Self, String> {
        program("redis-cli", "redis-server (Debian: redis-server and redis-tools)")?;
        let program = program("redis-server", "redis-server")?;
        let folder = home.join(name);
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let port = free_port();
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        let process = launch(&program, &folder, port, fsync, &settings, "yes");
        let mut redis = Self { program, folder, port, fsync, settings, process, _home: None };
        redis.until_up().await;
        Ok(redis)
    }

    /// Its host and port.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its URL, without a password.
    pub fn url(&self) -> String {
        format!("redis://{}", self.server())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
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

    /// Restarts it with its append-only file.
    pub async fn restart(&mut self) {
        self.relaunch("yes").await;
    }

    /// Restarts it without any of its data.
    pub async fn restart_empty(&mut self) {
        self.forget();
        self.relaunch("yes").await;
    }

    /// Restarts it with this snapshot instead of its data.
    pub async fn restart_from(&mut self, snapshot: &Path) {
        self.forget();
        fs::copy(snapshot, self.snapshot_file()).expect("a snapshot");
        // Redis reads no snapshot while its append-only file is on.
        self.relaunch("no").await;
        self.command(&["CONFIG", "SET", "appendonly", "yes"]).await;
    }

    /// Writes a snapshot of its data, and answers the path.
    pub async fn snapshot(&self) -> PathBuf {
        self.command(&["SAVE"]).await;
        let kept = self.folder.join("kept.rdb");
        fs::copy(self.snapshot_file(), &kept).expect("a snapshot was saved");
        kept
    }

    /// Runs one command, and answers the lines that `redis-cli` prints, one for each value.
    pub async fn command(&self, words: &[&str]) -> Vec<String> {
        self.try_command(words).await.unwrap_or_else(|error| panic!("Redis, {words:?}: {error}"))
    }

    async fn try_command(&self, words: &[&str]) -> Result<Vec<String>, String> {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-e", "-p", &port]).args(words).kill_on_drop(true).output().await;
        let output = output.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(text.lines().map(str::to_owned).collect())
        } else {
            Err(text + &String::from_utf8_lossy(&output.stderr))
        }
    }

    fn snapshot_file(&self) -> PathBuf {
        self.folder.join("dump.rdb")
    }

    fn forget(&self) {
        // Either may not exist.
        let _ = fs::remove_file(self.snapshot_file());
        let _ = fs::remove_dir_all(self.folder.join("appendonlydir"));
    }

    async fn relaunch(&mut self, appendonly: &str) {
        self.process = launch(&self.program, &self.folder, self.port, self.fsync, &self.settings, appendonly);
        self.until_up().await;
    }

    async fn until_up(&mut self) {
        let port = self.port.to_string();
        self.process
            .until_up(START_MAX, async || {
                let asked = Command::new("redis-cli").args(["-p", &port, "ping"]).kill_on_drop(true).output().await;
                // A server that wants a password is up too.
                asked.is_ok_and(|answer| [&b"PONG"[..], b"NOAUTH"].iter().any(|up| answer.stdout.starts_with(up)))
            })
            .await;
    }
}

/// Starts the process. It writes no snapshots by itself. `settings` come last, so they win.
fn launch(program: &Path, folder: &Path, port: u16, fsync: Fsync, settings: &[String], appendonly: &str) -> Process {
    let (port, folder_text) = (port.to_string(), folder.to_string_lossy());
    let fsync = match fsync {
        Fsync::Always => "always",
        Fsync::EverySecond => "everysec",
    };
    let fixed = ["--bind", "127.0.0.1", "--port", &port, "--dir", &folder_text, "--save", "", "--appendfsync", fsync];
    let kept = ["--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0", "--appendonly", appendonly];
    let fixed = fixed.iter().chain(&kept).map(ToString::to_string);
    let arguments: Vec<_> = fixed.chain(settings.iter().cloned()).collect();
    Process::start("redis-server", program, &arguments, &[], &folder.with_extension("log"))
}
