//! A database that answers but takes no writes: what the start says, and what health says.

use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use sea_orm::ConnectionTrait;
use stockhold::grpc::v1::ReservationState;
use stockhold::ledger::Failure;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::rights::User;
use super::*;
use crate::support::client::Caller;
use crate::support::server::{Instance, stockhold};
use crate::support::{eventually, required};

/// What a command that does not start says last.
fn refused(output: Output) -> String {
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("error: ") && last.contains(" cannot be used: "), "{stderr}");
    last
}

/// Ends, or the test does.
fn run_to_end(arguments: &[&str]) -> Output {
    let command = stockhold().args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = Killed(command.expect("stockhold starts"));
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while child.0.try_wait().expect("it is our child").is_none() {
        assert!(std::time::Instant::now() < deadline, "{arguments:?} does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut stderr = Vec::new();
    std::io::Read::read_to_end(child.0.stderr.as_mut().expect("a pipe"), &mut stderr).expect("reads");
    Output { status: child.0.wait().expect("it has ended"), stdout: Vec::new(), stderr }
}

/// A process that is killed when it goes out of scope.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_sqlite_file_that_is_read_only_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = |mode: &str| format!("sqlite://{}?mode={mode}", folder.path().join("stock.db").display());
    let (writable, read_only) = (url("rwc"), url("ro"));
    let migrated = run_to_end(&["migrate", "--database-url", &writable]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    for arguments in [&["migrate"][..], &["serve", "--listen", "127.0.0.1:0"]] {
        let last = refused(run_to_end(&[arguments, &["--database-url", &read_only]].concat()));
        assert!(last.contains("it takes no writes: ") && last.contains("mode= in a SQLite URL"), "{last}");
    }
}

#[tokio::test]
async fn a_second_process_on_a_sqlite_file_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("stock.db");
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let first = Instance::over(&url);
    let running = first.start();
    // Another path to the same file.
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&file, &link).expect("links");
    let linked = format!("sqlite://{}?mode=rwc", link.display());
    for url in [&url, &linked] {
        for arguments in [&["migrate"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let last = refused(run_to_end(&[arguments, &["--database-url", url]].concat()));
            assert!(last.contains("another stockhold process uses the SQLite file"), "{last}");
        }
    }
    // A process that was killed leaves nothing behind that would stop the next one.
    running.kill9();
    drop(first.start());
}

#[tokio::test]
async fn processes_that_share_redis_may_share_a_sqlite_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("stock.db").display());
    let prefix = uuid::Uuid::new_v4().simple().to_string();
    let instance = Instance::with_stores(&required("STOCKHOLD_TEST_REDIS_URL"), &prefix, &url);
    let (one, other) = (instance.start(), instance.start());
    Caller::connect(one.address()).await.set("a", 1).await;
    let mut callers = [Caller::connect(one.address()).await, Caller::connect(other.address()).await];
    let mut held = 0;
    for (number, caller) in callers.iter_mut().enumerate() {
        held += usize::from(caller.reserve(&format!("r{number}"), &[("a", 1)]).await.is_ok());
    }
    assert_eq!(held, 1, "one unit is held once");
}

/// Bytes that a process may write beyond the beginning of a file; it fails as a full disk does.
fn limit_files(process: &Child, bytes: &str) {
    let limited = Command::new("prlimit")
        .args(["--pid", &process.id().to_string(), &format!("--fsize={bytes}:unlimited")])
        .status();
    assert!(limited.expect("there is prlimit").success());
}

#[tokio::test]
async fn health_follows_the_commits_of_a_sqlite_file_on_a_full_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("stock.db").display());
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let address = format!("127.0.0.1:{port}");
    let binary = stockhold().get_program().to_owned();
    // A write beyond the limit ends a process unless it ignores the signal.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(binary);
    command.args(["serve", "--listen", &address, "--database-url", &url, "--recover-grace", "1s"]);
    let service = Killed(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"));
    let connects = async || tokio::net::TcpStream::connect(&address).await.is_ok();
    eventually("it listens", Duration::from_secs(60), connects).await;

    let mut caller = Caller::connect(address.parse().expect("an address")).await;
    let health = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await;
    let health = HealthClient::new(health.expect("it answers"));
    let is = async |wanted: ServingStatus| {
        let service = "stockhold.v1.StockService".to_owned();
        let answer = health.clone().check(HealthCheckRequest { service }).await.expect("health answers");
        answer.into_inner().status() == wanted
    };
    eventually("it serves", Duration::from_secs(20), async || is(ServingStatus::Serving).await).await;
    caller.set("a", 5).await;
    caller.reserve("order", &[("a", 1)]).await.expect("held");

    limit_files(&service.0, "0");
    caller.confirm("order").await.expect_err("the disk is full");
    eventually("it says so", Duration::from_secs(20), async || is(ServingStatus::NotServing).await).await;
    limit_files(&service.0, "unlimited");
    eventually("it serves again", Duration::from_secs(20), async || is(ServingStatus::Serving).await).await;
    let is_confirmed = async || caller.clone().is("order", ReservationState::Confirmed).await;
    eventually("the order is completed", Duration::from_secs(20), is_confirmed).await;
}

#[tokio::test]
async fn health_follows_a_mysql_server_that_is_read_only() {
    run(database::mysql().await, async |f: &Fixture| {
        f.stock(&[("a", 5)]).await;
        // Other tests are users who may write all the same.
        let root = f.database.connect().await;
        let user = User::with("SELECT, INSERT, UPDATE", &root, &f.database).await;
        let ledger = Ledger::connect(&user.config).await.unwrap();
        ledger.ping().await.unwrap();

        root.execute_unprepared("SET GLOBAL read_only = 1").await.unwrap();
        let refused = settle(&ledger, "r", confirm(&[("a", 1)])).await;
        let pinged = ledger.ping().await;
        // That it answers a question does not mean that it takes writes again.
        ledger.rows(&here(), &[sku("a")]).await.unwrap();
        let both = together(["r", "s"].map(|name| settle(&ledger, name, confirm(&[("a", 1)])))).await;
        root.execute_unprepared("SET GLOBAL read_only = 0").await.unwrap();
        let failure = |error: Option<LedgerError>| match error {
            Some(LedgerError::Unavailable(error)) => error.failure,
            other => panic!("{other:?}"),
        };
        assert_eq!([refused.err(), pinged.err()].map(failure), [Failure::Unwritable; 2]);
        let both: Vec<_> = both.into_iter().map(|settled| failure(settled.err())).collect();
        assert_eq!(both, [Failure::Unwritable, Failure::NoConnection], "one asks, the other fails at once");
        ledger.ping().await.unwrap();
        assert_eq!(settle(&ledger, "r", confirm(&[("a", 1)])).await.unwrap().settlement.outcome, Outcome::Confirmed);
        ledger.close().await.unwrap();
        user.drop(&root).await;
    })
    .await;
}
