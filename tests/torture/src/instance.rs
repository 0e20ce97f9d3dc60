//! An instance of the service: a process of its own, with its own links to both stores.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use stockhold_servers::mariadb::Mariadb;
use stockhold_servers::process::{Process, free_port};
use stockhold_servers::proxy::Proxy;

/// A start migrates the tables or finds them migrated.
const START_MAX: Duration = Duration::from_secs(30);

/// How long an instance lets a caller wait.
pub(crate) const DEADLINE_MAX: Duration = Duration::from_secs(4);

/// How often changed rows are pushed.
pub(crate) const SYNC_EVERY: Duration = Duration::from_millis(300);

/// Timers and holds are so short that a run can wait for them. Redis remembers what has ended for longer than a run and
/// its audit take, but not for all runs.
const SETTINGS: [(&str, &str); 9] = [
    ("--ttl-min", "100ms"),
    ("--ttl-default", "1s"),
    ("--ttl-max", "2m"),
    ("--sweep-every", "300ms"),
    ("--recover-every", "200ms"),
    ("--recover-grace", "1s"),
    ("--shutdown-grace", "5s"),
    ("--reconcile-every", "1h"),
    ("--retention", "15m"),
];

/// One instance.
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) redis: Proxy,
    pub(crate) mysql: Proxy,
    log: PathBuf,
    /// The length of the log when the process was started.
    log_read: u64,
    /// How many bytes of the log were searched for bugs.
    log_audited: u64,
    process: Process,
}

impl Instance {
    /// Starts an instance with its own links to these servers.
    pub(crate) async fn start(home: &Path, name: &str, redis: &str, mysql: &str) -> Self {
        let (redis, mysql) = (Proxy::to(redis).await, Proxy::to(mysql).await);
        let (port, log) = (free_port(), home.join(format!("{name}.log")));
        let process = launch(port, &redis, &mysql, &log, None);
        let mut instance =
            Self { name: name.to_owned(), port, redis, mysql, log, log_read: 0, log_audited: 0, process };
        instance.until_up().await;
        instance
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// The exit status of the process, once it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Restarts the instance and waits until it serves.
    pub(crate) async fn restart(&mut self) {
        self.launch_again(None);
        self.until_up().await;
    }

    /// Restarts the instance. With a failpoint (`step=3%return`) it will crash there, perhaps before it serves.
    pub(crate) fn launch_again(&mut self, failpoint: Option<&str>) {
        self.process.kill();
        self.log_read = std::fs::metadata(&self.log).expect("its log").len();
        self.process = launch(self.port, &self.redis, &self.mysql, &self.log, failpoint);
    }

    /// New lines of its log that no fault may cause.
    pub(crate) fn bugs(&mut self) -> Vec<String> {
        let mut new = log_from(&self.log, self.log_audited);
        // The last line may still be incomplete.
        new.truncate(new.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        self.log_audited += new.len() as u64;
        let new = String::from_utf8_lossy(&new);
        let bugs = new.lines().filter(|line| line.contains(" ERROR ") || line.contains("panicked at"));
        bugs.map(str::to_owned).collect()
    }

    /// Waits until it serves. Its port accepts connections earlier, while the instance still starts.
    async fn until_up(&mut self) {
        let (log, read) = (self.log.clone(), self.log_read);
        let is_up = async || String::from_utf8_lossy(&log_from(&log, read)).contains("listening addr=");
        self.process.until_up(START_MAX, is_up).await;
    }
}

/// What a log has after this many bytes.
fn log_from(log: &Path, read: u64) -> Vec<u8> {
    let (mut file, mut new) = (File::open(log).expect("its log"), Vec::new());
    file.seek(SeekFrom::Start(read)).expect("a file");
    file.read_to_end(&mut new).expect("a file");
    new
}

/// This program is the service too (see `main`).
fn launch(port: u16, redis: &Proxy, mysql: &Proxy, log: &Path, failpoint: Option<&str>) -> Process {
    let program = std::env::current_exe().expect("this program is a file");
    let mut arguments = vec!["serve".to_owned()];
    let own = [
        ("--listen", format!("127.0.0.1:{port}")),
        ("--redis-url", format!("redis://127.0.0.1:{}", redis.port())),
        ("--database-url", Mariadb::service_url(mysql.port())),
        ("--deadline-max", format!("{}ms", DEADLINE_MAX.as_millis())),
        ("--sync-every", format!("{}ms", SYNC_EVERY.as_millis())),
    ];
    arguments.extend(own.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
    arguments.extend(SETTINGS.iter().flat_map(|(flag, value)| [flag.to_string(), value.to_string()]));
    let environment: Vec<_> = failpoint.iter().map(|step| ("FAILPOINTS", step.to_string())).collect();
    Process::start("the service", &program, &arguments, &environment, log)
}
