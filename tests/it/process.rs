//! The service as a process: its start, what stops a start, outages of its stores, and its end.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use stockhold::grpc::v1::{Reservation, ReservationState, SetStockItem, SetStockRequest};
use stockhold_servers::redis::Redis;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Status;

use crate::support::client::Caller;
use crate::support::server::{Instance, TestService, stockhold, terminate};
use crate::support::{database, eventually};

#[tokio::test]
async fn sigterm_ends_the_service_without_an_error() {
    let mut service = Instance::embedded().start();
    service.terminate();
    let status = service.wait_exit();
    assert!(status.success(), "{status}; its log:\n{}", service.log());
}

/// A service that is shutting down while a confirm is under way, whose commit sleeps for `sleep_ms`.
async fn confirming(sleep_ms: u32) -> (TestService, JoinHandle<Result<Reservation, Status>>) {
    let instance = Instance::embedded().env("FAILPOINTS", &format!("ledger-before-commit=1*sleep({sleep_ms})"));
    // The commit blocks a thread while it sleeps.
    let service = instance.arg("--threads").arg("2").start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 5).await;
    caller.reserve("order", &[("a", 1)]).await.expect("held");
    let mut other = caller.clone();
    let confirm = tokio::spawn(async move { other.confirm("order").await });
    eventually("the confirm has begun", Duration::from_secs(5), async || {
        caller.is("order", ReservationState::Confirming).await
    })
    .await;
    service.terminate();
    eventually("the service is shutting down", Duration::from_secs(5), async || {
        service.log().contains("shutting down")
    })
    .await;
    (service, confirm)
}

#[tokio::test]
async fn a_call_under_way_is_answered_before_the_end() {
    // Much less than the ledger waits for one attempt.
    let (mut service, confirm) = confirming(3_000).await;
    assert!(!confirm.is_finished(), "the confirm is under way");
    confirm.await.expect("does not panic").expect("confirmed");
    assert!(service.wait_exit().success(), "{}", service.log());
}

#[tokio::test]
async fn a_second_signal_ends_the_service_at_once() {
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

/// The exit code, and the text on stderr.
fn exit_and_stderr(output: std::io::Result<Output>) -> (Option<i32>, String) {
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
        let (code, stderr) = exit_and_stderr(command.output());
        assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{flags:?} {variable:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(text), "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    }
}

#[tokio::test]
async fn a_port_or_a_store_that_cannot_be_used_stops_the_start_with_its_name() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let closed = format!("127.0.0.1:{}", free_port());
    let (database, redis) = (format!("mysql://root:secret@{closed}/shop"), format!("redis://:secret@{closed}"));
    let locked = Redis::private(&["--requirepass", "another"]).await;
    let wrong_password = format!("redis://:secret@{}", locked.server());
    let user = |name, keys, command| ["--user", name, "on", ">secret", keys, "&*", "+@all", command];
    let rights =
        [user("loads", "~*", "-function|load"), user("calls", "~*", "-fcall"), user("keys", "~other:*", "+ping")];
    let limited = Redis::private(&rights.concat()).await;
    let of = |user| format!("redis://{user}:secret@{}", limited.server());
    let (cannot_load, cannot_call, other_keys) = (of("loads"), of("calls"), of("keys"));
    for (flags, text) in [
        (&["--listen", &taken][..], "cannot listen on "),
        (
            &["--database-url", &database],
            &format!("the database mysql://***@{closed}/shop is away: the database did not answer: Connection Error: "),
        ),
        (&["--database-url", &database], "(--start-timeout) the start gives up: start it, or correct --database-url"),
        (
            &["--redis-url", &redis],
            &format!(
                "Redis at redis://***@{closed} is away: the holds' store could not be reached: Connection refused; \
                 after 1ms (--start-timeout) the start gives up: start it, or correct --redis-url"
            ),
        ),
        (&["--redis-url", &wrong_password], " cannot be used: WRONGPASS"),
        (&["--redis-url", &cannot_load], " cannot be used: NOPERM"),
        (&["--redis-url", &cannot_call], " cannot be used: NOPERM"),
        (&["--redis-url", &other_keys], " cannot be used: NOPERM"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = stockhold();
        command.args(["serve", "--start-timeout", "1ms"]).args(flags);
        if flags[0] != "--listen" {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let (code, stderr) = exit_and_stderr(command.current_dir(folder.path()).output());
        let last = stderr.lines().last().unwrap_or_default();
        assert_eq!(code, Some(1), "{stderr}");
        assert!(last.starts_with("error: ") && last.contains(text), "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
        let at_most_once = |cause: &str| last.matches(cause).count() <= 1;
        assert!(at_most_once("Connection refused") && at_most_once("cannot listen"), "{stderr}");
    }
}

#[tokio::test]
async fn a_start_waits_for_a_redis_that_is_away() {
    let mut server = Redis::private(&[]).await;
    server.kill();
    let url = server.url();
    // The start meets a server that hangs up. Then the server ends, and Redis takes its port.
    let hanging_up = tokio::net::TcpListener::bind(server.server()).await.expect("the port is free");
    let starting = Instance::embedded().arg("--redis-url").arg(&url);
    let starting = tokio::task::spawn_blocking(move || starting.start());
    drop(timeout(Duration::from_secs(60), hanging_up.accept()).await.expect("the start asks").expect("accepts"));
    drop(hanging_up);
    server.restart_empty().await;
    let mut service = starting.await.expect("the service starts");
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 1).await;
    caller.reserve("order", &[("a", 1)]).await.expect("held");
    service.terminate();
    assert!(service.wait_exit().success(), "{}", service.log());
    let log = service.log();
    assert!(log.contains(&format!("waiting for Redis at {url}: ")), "{log}");
    for found in ["starts instance=", " SQLite 3.", ": Redis ", ", standalone, "] {
        assert!(log.contains(found), "the log does not have {found:?}:\n{log}");
    }
}

#[tokio::test]
async fn an_outage_of_redis_takes_few_lines_of_the_log() {
    const LOCATIONS: usize = 40;
    let mut server = Redis::private(&[]).await;
    let service = Instance::embedded().arg("--redis-url").arg(&server.url()).start();
    let mut caller = Caller::connect(service.address()).await;
    for location in 0..LOCATIONS {
        let item = SetStockItem { sku: "a".into(), on_hand: 1, ..Default::default() };
        let (location, request_id) = (format!("l{location}"), format!("r{location}"));
        let request = SetStockRequest { location, request_id, items: vec![item] };
        caller.stock.set_stock(request).await.expect("the stock is set");
    }
    let before = service.log().lines().count();
    server.kill();
    eventually("background work fails", Duration::from_secs(20), async || {
        service.log().matches("a background task fails").count() >= 3
    })
    .await;
    // Meanwhile each of three tasks runs for each location, every second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.restart_empty().await;
    eventually("background work succeeds again", Duration::from_secs(30), async || {
        let log = service.log();
        log.matches("a background task works again").count() >= 3 && log.contains("is back")
    })
    .await;
    let log = service.log();
    let lines = log.lines().count() - before;
    assert!(lines < 30, "{lines} lines");
    for line in ["the holds' store is away", "the holds' store is back: it was away for "] {
        assert_eq!(log.matches(line).count(), 1, "{line}");
    }
    for debug in ["Unavailable(", "Holds(", "Some(", "Err("] {
        assert!(!log.contains(debug), "the log has Rust's debug form: {debug}");
    }
}

/// A process that is killed when it goes out of scope.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn sigterm_ends_a_start_that_waits() {
    let database = database::mysql().await;
    let (keeper, observer) = (database.connect().await, database.connect().await);
    let lock = "DO GET_LOCK(CONCAT('stockhold.', LEFT(SHA2(DATABASE(), 256), 40)), 0)";
    keeper.execute_unprepared(lock).await.expect("locks");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--database-url", &database.url];
    let child = stockhold().args(arguments).stderr(Stdio::null()).spawn().expect("stockhold starts");
    let mut service = Guarded(child);
    eventually("the start waits for its turn to migrate", Duration::from_secs(20), async || {
        let sql = "SELECT id FROM information_schema.processlist \
                   WHERE db = DATABASE() AND info LIKE 'SELECT%GET_LOCK%60%' AND id <> CONNECTION_ID()";
        let found = observer.query_one_raw(Statement::from_string(DbBackend::MySql, sql)).await;
        found.expect("answers").is_some()
    })
    .await;
    terminate(&service.0);
    eventually("the service ends", Duration::from_secs(10), async || matches!(service.0.try_wait(), Ok(Some(_)))).await;
    assert!(service.0.wait().expect("it has an exit status").success());
    keeper.close().await.expect("closes");
    database.remove().await;
}

#[tokio::test]
async fn the_service_runs_although_its_log_cannot_be_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("127.0.0.1:{}", free_port());
    let full = File::options().write(true).open("/dev/full").expect("there is a full device");
    let mut command = stockhold();
    command.args(["serve", "--listen", &address]).env("RUST_LOG", "debug").current_dir(folder.path());
    let mut service = Guarded(command.stderr(full).spawn().expect("stockhold starts"));
    eventually("the service answers", Duration::from_secs(30), async || {
        let set = stockhold().args(["stock", "set", "sku-a=7", "--addr", &address]).output();
        set.expect("stockhold runs").status.success()
    })
    .await;
    terminate(&service.0);
    eventually("the service ends", Duration::from_secs(30), async || matches!(service.0.try_wait(), Ok(Some(_)))).await;
    assert!(service.0.wait().expect("it has an exit status").success());
}
