//! The service as a process: the real binary as it runs in production, its log, and its end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A start includes the migrations. The bound is generous because the machine may be busy.
const START_MAX: Duration = Duration::from_secs(60);

/// Longer than the service's grace period for shutting down.
const EXIT_MAX: Duration = Duration::from_secs(40);

/// How to start the service. It can be started several times, one after the other or at the same time.
#[derive(Clone)]
pub(crate) struct Instance {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Where the embedded database is; removed with the last user.
    folder: Option<Arc<TempDir>>,
}

impl Instance {
    /// With SQLite in a folder of its own, and holds in the process.
    pub(crate) fn embedded() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = format!("sqlite://{}?mode=rwc", folder.path().join("stockhold.db").display());
        Self { folder: Some(Arc::new(folder)), ..Self::over(&database) }
    }

    /// With this database, and holds in the process.
    pub(crate) fn over(database_url: &str) -> Self {
        Self::bare().arg("--database-url").arg(database_url)
    }

    /// With Redis and a database, which instances may share.
    pub(crate) fn with_stores(redis_url: &str, redis_prefix: &str, database_url: &str) -> Self {
        let arguments = ["--redis-url", redis_url, "--redis-prefix", redis_prefix, "--database-url", database_url];
        arguments.into_iter().fold(Self::bare(), Self::arg)
    }

    /// Without any settings.
    pub(crate) fn bare() -> Self {
        Self { arguments: Vec::new(), environment: Vec::new(), folder: None }
    }

    /// Adds an argument of `stockhold serve`.
    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds a variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(&self) -> TestService {
        let mut command = stockhold();
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(&self.arguments);
        command.envs(self.environment.iter().cloned());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("stockhold starts");

        let log = Log::default();
        let (sender, listening) = mpsc::channel();
        let stderr = child.stderr.take().expect("it is a pipe");
        std::thread::spawn({
            let log = log.clone();
            move || log.collect(stderr, &sender)
        });
        match listening.recv_timeout(START_MAX) {
            Ok(address) => TestService { child, address, log, _folder: self.folder.clone() },
            Err(error) => {
                let _ = child.kill();
                panic!("stockhold does not listen: {error}; its log:\n{}", log.text());
            }
        }
    }
}

/// The binary under test, without the settings that this process has inherited.
pub(crate) fn stockhold() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockhold"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STOCKHOLD_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG");
    command
}

/// Sends SIGTERM.
pub(crate) fn terminate(child: &Child) {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.expect("there is kill").success(), "the signal was not delivered");
}

/// A running service; it is killed when it goes out of scope.
pub(crate) struct TestService {
    child: Child,
    address: SocketAddr,
    log: Log,
    _folder: Option<Arc<TempDir>>,
}

impl TestService {
    /// The address at which it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Kills it (SIGKILL).
    pub(crate) fn kill9(mut self) {
        self.child.kill().expect("it runs");
        self.wait_exit();
    }

    /// Asks it to stop (SIGTERM), as an orchestrator does.
    pub(crate) fn terminate(&self) {
        terminate(&self.child);
    }

    /// Waits until it has ended.
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + EXIT_MAX;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "stockhold did not end; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for TestService {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // The log often says why the test failed.
            println!("the log of stockhold at {}:\n{}", self.address, self.log());
        }
    }
}

/// The lines of a log. They are read at once, because a full pipe would block the service.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn collect(&self, stderr: ChildStderr, listening: &mpsc::Sender<SocketAddr>) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(address) = listening_address(&line) {
                let _ = listening.send(address);
            }
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

/// The address in `… listening addr=127.0.0.1:50051 …`.
fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, fields) = line.split_once("listening")?;
    fields.split_whitespace().find_map(|field| field.strip_prefix("addr=")?.parse().ok())
}
