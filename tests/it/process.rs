//! The service as a process: how it starts, how it does not, and how it ends.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use stockhold::grpc::v1::{Reservation, ReservationState};
use tokio::task::JoinHandle;
use tonic::Status;

use crate::support::client::Caller;
use crate::support::server::{Instance, TestService, stockhold, terminate};
use crate::support::{database, eventually};

#[tokio::test]
async fn a_service_that_is_told_to_stop_ends_well() {
    let mut service = Instance::embedded().start();
    service.terminate();
    let status = service.wait_exit();
    assert!(status.success(), "{status}; its log:\n{}", service.log());
}

/// A service with a confirm under way whose commit takes so long.
async fn confirming(sleep_ms: u32) -> (TestService, JoinHandle<Result<Reservation, Status>>) {
    let instance = Instance::embedded().env("FAILPOINTS", &format!("ledger-before-commit=1*sleep({sleep_ms})"));
    // The commit sleeps a thread away.
    let service = instance.arg("--threads").arg("2").start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 5).await;
    caller.reserve("order", &[("a", 1)]).await.expect("held");
    let mut other = caller.clone();
    let confirm = tokio::spawn(async move { other.confirm("order").await });
    eventually("it has begun", Duration::from_secs(5), async || caller.is("order", ReservationState::Confirming).await)
        .await;
    service.terminate();
    eventually("it is shutting down", Duration::from_secs(5), async || service.log().contains("shutting down")).await;
    (service, confirm)
}

#[tokio::test]
async fn a_call_under_way_is_answered_before_the_end() {
    // Well below the time that the ledger gives a try.
    let (mut service, confirm) = confirming(3_000).await;
    assert!(!confirm.is_finished(), "it is under way");
    confirm.await.expect("does not panic").expect("confirmed");
    assert!(service.wait_exit().success(), "{}", service.log());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (mut service, confirm) = confirming(30_000).await;
    service.terminate();
    assert_eq!(service.wait_exit().code(), Some(130), "{}", service.log());
    assert!(confirm.await.expect("does not panic").is_err());
}

#[tokio::test]
async fn stock_outlives_a_power_cut() {
    let instance = Instance::embedded().env("RUST_LOG", "debug");
    let before = instance.start();
    let set = stockhold().args(["stock", "set", "sku-a=7", "--addr", &before.address().to_string()]).output();
    assert!(set.expect("stockhold runs").status.success());
    before.kill9();

    let after = instance.start();
    let got = stockhold().args(["stock", "get", "sku-a", "--json", "--addr", &after.address().to_string()]).output();
    let got = String::from_utf8(got.expect("stockhold runs").stdout).expect("text");
    assert!(got.contains(r#""onHand": "7""#), "{got}");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// The exit code, and what was said on stderr.
fn refused(output: std::io::Result<Output>) -> (Option<i32>, String) {
    let output = output.expect("stockhold runs");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn a_wrong_value_stops_the_start_with_one_line() {
    for (flags, variable, text) in [
        (&["--ttl-min", "soon"][..], ("", ""), "invalid value 'soon' for '--ttl-min <TIME>': "),
        (&["--log-format", "xml"], ("", ""), "[possible values: text, json]"),
        (&["--ttl-min", "20m"], ("", ""), "--ttl-min (20m) must not be longer than --ttl-default (10m)"),
        (&[], ("STOCKHOLD_LISTEN", "localhost:1"), "(from STOCKHOLD_LISTEN)"),
        (&[], ("STOCKHOLD_REDIS_URL", ""), "--redis-url: must begin with redis://"),
        (&["--redis-url", "redis://h"], ("STOCKHOLD_REDIS_URL_FILE", "/f"), "cannot be used with"),
        (&["--database-url", "mysql://u:secret@h"], ("", ""), "must name a database"),
        (&[], ("RUST_LOG", "stockhold=loud"), "RUST_LOG: "),
    ] {
        let mut command = stockhold();
        command.arg("serve").args(flags).stdin(Stdio::null());
        if !variable.0.is_empty() {
            command.env(variable.0, variable.1);
        }
        let (code, stderr) = refused(command.output());
        assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{flags:?} {variable:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(text), "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    }
}

#[test]
fn what_cannot_be_reached_or_had_at_the_start_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let nobody = format!("127.0.0.1:{}", free_port());
    let (database, redis) = (format!("mysql://root:secret@{nobody}/shop"), format!("redis://:secret@{nobody}"));
    for (flags, text) in [
        (&["--listen", &taken][..], "cannot listen on "),
        (&["--listen", "127.0.0.1:0", "--database-url", &database], "the database cannot be used: "),
        (&["--listen", "127.0.0.1:0", "--redis-url", &redis], "the holds' store cannot be used: "),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (code, stderr) = refused(stockhold().arg("serve").args(flags).current_dir(folder.path()).output());
        let last = stderr.lines().last().unwrap_or_default();
        assert_eq!(code, Some(1), "{stderr}");
        assert!(last.starts_with("error: ") && last.contains(text), "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    }
}

/// A process that is killed when the test ends before it does.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_start_that_waits_can_be_stopped() {
    let database = database::mysql().await;
    let (keeper, observer) = (database.connect().await, database.connect().await);
    let lock = "DO GET_LOCK(CONCAT('stockhold.', LEFT(SHA2(DATABASE(), 256), 40)), 0)";
    keeper.execute_unprepared(lock).await.expect("locks");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--database-url", &database.url];
    let child = stockhold().args(arguments).stderr(Stdio::null()).spawn().expect("stockhold starts");
    let mut service = Guarded(child);
    eventually("it waits for its turn to migrate", Duration::from_secs(20), async || {
        let sql = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'SELECT%GET_LOCK%60%' \
                   AND id <> CONNECTION_ID()";
        let found = observer.query_one_raw(Statement::from_string(DbBackend::MySql, sql)).await;
        found.expect("answers").is_some()
    })
    .await;
    terminate(&service.0);
    eventually("it ends", Duration::from_secs(10), async || matches!(service.0.try_wait(), Ok(Some(_)))).await;
    assert!(service.0.wait().expect("it has ended").success());
    keeper.close().await.expect("closes");
    database.remove().await;
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("127.0.0.1:{}", free_port());
    let full = File::options().write(true).open("/dev/full").expect("a disk that is full");
    let mut command = stockhold();
    command.args(["serve", "--listen", &address]).env("RUST_LOG", "debug").current_dir(folder.path());
    let mut service = Guarded(command.stderr(full).spawn().expect("stockhold starts"));
    eventually("it answers", Duration::from_secs(30), async || {
        let set = stockhold().args(["stock", "set", "sku-a=7", "--addr", &address]).output();
        set.expect("stockhold runs").status.success()
    })
    .await;
    terminate(&service.0);
    eventually("it ends", Duration::from_secs(30), async || matches!(service.0.try_wait(), Ok(Some(_)))).await;
    assert!(service.0.wait().expect("it has ended").success());
}
