//! A redis-server that can be killed, emptied, rewound and replicated.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::process::{Process, free_port, program};

/// Loading a small append-only file takes no time, but the machine has other things to do.
const START_MAX: Duration = Duration::from_secs(20);

/// When what was written is on the disk.
#[derive(Clone, Copy, Debug)]
pub enum Fsync {
    /// Before it is answered, so that a killed server has lost nothing.
    Always,
    /// Within a second, as in production.
    EverySecond,
}

/// One server with a folder of its own.
pub struct Redis {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    fsync: Fsync,
    /// Settings of this server alone.
    settings: Vec<String>,
    process: Process,
}

impl Redis {
    /// Starts an empty one. `name` is that of its folder and its log.
    ///
    /// # Errors
    /// It is not installed, or its folder cannot be made.
    pub async fn start(home: &Path, name: &str, fsync: Fsync) -> Result<Self, String> {
        Self::start_with(home, name, fsync, &[]).await
    }

    /// As [`start`](Self::start), with settings of its own, which it keeps when it is started again.
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
        let mut redis = Self { program, folder, port, fsync, settings, process };
        redis.until_up().await;
        Ok(redis)
    }

    /// Its address.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
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

    /// Starts it again with its append-only file, which has all that was ever answered.
    pub async fn restart(&mut self) {
        self.relaunch("yes").await;
    }

    /// Starts it again without anything it had.
    pub async fn restart_empty(&mut self) {
        self.forget();
        self.relaunch("yes").await;
    }

    /// Starts it again with this snapshot instead of what it had.
    pub async fn restart_from(&mut self, snapshot: &Path) {
        self.forget();
        fs::copy(snapshot, self.snapshot_file()).expect("a snapshot");
        // With an append-only file it would not read the snapshot.
        self.relaunch("no").await;
        self.command(&["CONFIG", "SET", "appendonly", "yes"]).await;
    }

    /// Writes what it has now into a file and answers that.
    pub async fn snapshot(&self) -> PathBuf {
        self.command(&["SAVE"]).await;
        let kept = self.folder.join("kept.rdb");
        fs::copy(self.snapshot_file(), &kept).expect("a snapshot was saved");
        kept
    }

    /// Runs one command and answers what `redis-cli` prints, one line a value.
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
        // There may be none of them.
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
                asked.is_ok_and(|answer| answer.stdout.starts_with(b"PONG"))
            })
            .await;
    }
}

/// Nothing is saved unless it is asked for.
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
