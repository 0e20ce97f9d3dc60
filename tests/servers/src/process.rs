//! A server process: its log goes to a file, and it ends with this program, however that ends.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::patience::within;

/// A running process; it is killed when it goes out of scope.
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts a program. `setpriv` gives way to it, and makes the kernel kill it should this program be killed.
    ///
    /// The kernel takes the end of the thread that started it for the end of this program, so this must run on a thread
    /// that stays.
    pub fn start(name: &str, program: &Path, arguments: &[String], environment: &[(&str, String)], log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).expect("the folder is ours");
        let stderr = log.try_clone().expect("a file can be opened twice");
        let mut command = Command::new("setpriv");
        // What this program happens to have inherited is not meant for the servers.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("STOCKHOLD_") || name == "RUST_LOG" || name == "FAILPOINTS" {
                command.env_remove(&*name);
            }
        }
        let child = command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(stderr)
            .spawn();
        Self { name: name.to_owned(), child: child.unwrap_or_else(|error| panic!("setpriv for {name}: {error}")) }
    }

    /// Its number, as the kernel knows it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it in its tracks (`STOP`), or lets it go on (`CONT`).
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{} does not take {signal}", self.name);
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits until `is_up`, and panics if it ends before or takes too long.
    pub async fn until_up(&mut self, bound: Duration, mut is_up: impl AsyncFnMut() -> bool) {
        let up = within(bound, async || {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                panic!("{} ended while it started: {status}", self.name);
            }
            is_up().await
        });
        assert!(up.await.is_some(), "{} did not start within {bound:?}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that is free now. It is below those that the kernel gives to outgoing connections, so that it stays free
/// while its server is down.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The program of this name, wherever systems keep servers.
pub fn program(name: &str, package: &str) -> Result<std::path::PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| format!("there is no {name} here; please install {package}"))
}
