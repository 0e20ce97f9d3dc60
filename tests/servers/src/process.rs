//! A server process. Its log goes to a file, and it ends with this program, however this program ends.

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
    /// Starts a program through `setpriv`, which tells the kernel to kill it when this program dies.
    ///
    /// The kernel does so when the thread that started the program ends. So call this on a thread that lives as long as
    /// the process.
    pub fn start(name: &str, program: &Path, arguments: &[String], environment: &[(&str, String)], log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).expect("the folder is ours");
        let stderr = log.try_clone().expect("a file can be opened twice");
        let mut command = Command::new("setpriv");
        // Settings that this program has inherited are not meant for the servers.
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

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it (SIGKILL), and waits until it has ended.
    pub fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal by name: `STOP` halts it, `CONT` lets it go on.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{} does not take {signal}", self.name);
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits until `is_up` is true. Panics if the process ends first, or if it takes longer than `bound`.
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

/// A port that is free now. It is below the ports that the kernel gives to outgoing connections, so it stays free while
/// its server is down.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The path of a program, looked for on `PATH` and where systems keep servers. The error names the package to install.
pub fn program(name: &str, package: &str) -> Result<std::path::PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| format!("there is no {name} here; please install {package}"))
}
