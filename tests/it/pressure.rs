//! The whole picture: callers do at once everything that makes a service hold memory. The process stays below what
//! `docs/operations.md` ("Memory") says, a good caller is served all the time, and the log stays short.

use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use stockhold::grpc::v1;
use stockhold::grpc::v1::session_request::Request as Asked;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::support::client::Caller;
use crate::support::deaf::Deaf;
use crate::support::http2::framed;
use crate::support::server::{Instance, TestService};
use crate::support::session::get;

/// How long the pressure lasts, once all of it is there.
const LASTS: Duration = Duration::from_secs(5);

/// Between two calls of the good caller.
const PAUSE: Duration = Duration::from_millis(100);

/// Far more than any call of the good caller takes.
const BOUND: Duration = Duration::from_secs(20);

/// What is added to the memory of a process that has just started: the bounds below, what the rest takes by
/// `docs/operations.md`, and what the allocator keeps.
const GROWTH_MAX_MIB: u64 = 160;

/// Small bounds, so that a bound that does not hold is seen soon.
const BOUNDS: [&str; 6] = ["--call-bytes-max", "16MiB", "--unsent-bytes-max", "16MiB", "--sessions-max", "64"];

/// Lines of the log, of which each kind has a bound.
const LINES_MAX: usize = 1000;

const RESERVE: &str = "/stockhold.v1.ReservationService/Reserve";
const LIST: &str = "/stockhold.v1.ReservationService/ListReservations";
const SESSION: &str = "/stockhold.v1.ReservationService/Session";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECT: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// A reservation of 100 lines with the longest names, so that answers are as large as they can be.
async fn large_reservations(caller: &mut Caller, count: usize) {
    let skus: Vec<_> = (0..100).map(|index| format!("{index:0>128}")).collect();
    let items = skus.iter().map(|sku| v1::SetStockItem { sku: sku.clone(), on_hand: 1_000_000, ..Default::default() });
    let request = v1::SetStockRequest { request_id: "large".into(), items: items.collect(), ..Default::default() };
    caller.stock.set_stock(request).await.expect("the stock is set");
    let lines: Vec<_> = skus.iter().map(|sku| (sku.as_str(), 1)).collect();
    for index in 0..count {
        caller.reserve(&format!("large-{index}"), &lines).await.expect("held");
    }
}

/// Calls again and again until it is told to stop, and is never refused. Answers how many calls were served, and how
/// long the slowest took.
async fn good_caller(mut caller: Caller, stop: CancellationToken) -> (usize, Duration) {
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while !stop.is_cancelled() {
        let begun = Instant::now();
        timeout(BOUND, caller.reserve(&format!("good-{count}"), &[("a", 1)])).await.expect("in time").expect("served");
        slowest = slowest.max(begun.elapsed());
        count += 1;
        sleep(PAUSE).await;
    }
    (count, slowest)
}

/// A service with so many large reservations, its good caller, and what it takes in memory before the pressure, in MiB.
async fn start(large: usize) -> (TestService, Caller, u64) {
    let service = BOUNDS.into_iter().fold(Instance::embedded(), Instance::arg).start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 1_000_000).await;
    large_reservations(&mut caller, large).await;
    let before_mib = memory_mib(&service, "VmRSS");
    (service, caller, before_mib)
}

/// Of `/proc`, in MiB.
fn memory_mib(service: &TestService, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("it is running");
    let line = status.lines().find(|line| line.starts_with(field)).expect("Linux has it");
    let kib: u64 = line.split_whitespace().nth(1).expect("a value").parse().expect("a number");
    kib / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pressure_of_callers_makes_the_process_grow_without_bound() {
    let (service, caller, before_mib) = start(60).await;

    let stop = CancellationToken::new();
    let good = tokio::spawn(good_caller(caller, stop.clone()));
    let mut pressure = Vec::new();
    let connect = || Deaf::connect(&service);

    // Connections that say nothing, or only the preface.
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(service.address()).await.expect("connects"));
        pressure.push(connect().await);
    }
    // Requests that never arrive, some of which are large.
    let part = [Bytes::from(vec![0; 16 * 1024])];
    for _ in 0..3 {
        pressure.push(connect().await.open(500, RESERVE, &[], false).await);
        pressure.push(connect().await.open(200, RESERVE, &part, false).await);
    }
    // Pages of 60 reservations, 0.8 MB each, that are not read.
    let list = v1::ListReservationsRequest { page_size: 1000, ..Default::default() }.encode_to_vec();
    for _ in 0..2 {
        pressure.push(connect().await.open(50, LIST, &[framed(&list)], true).await);
    }
    // Sessions that idle, and sessions whose answers, 14 KB each, are not read.
    pressure.push(connect().await.open(100, SESSION, &[], false).await);
    let asked = |id| v1::SessionRequest { id, request: Some(Asked::GetReservation(get("large-0"))) }.encode_to_vec();
    let asked: Vec<_> = (0..1000).map(|id| framed(&asked(id))).collect();
    for _ in 0..5 {
        pressure.push(connect().await.open(2, SESSION, &asked, false).await);
    }
    // Streams that are exempt from the bounds of calls.
    let symbol = MessageRequest::FileContainingSymbol("stockhold.v1.ReservationService".into());
    let symbol = ServerReflectionRequest { host: String::new(), message_request: Some(symbol) }.encode_to_vec();
    for _ in 0..2 {
        pressure.push(connect().await.open(100, REFLECT, &[framed(&symbol)], false).await);
        pressure.push(connect().await.open(100, WATCH, &[framed(&[])], true).await);
    }
    sleep(LASTS).await;

    stop.cancel();
    let (count, slowest) = good.await.expect("the good caller is served");
    let most_mib = memory_mib(&service, "VmHWM");
    let lines = service.log().lines().count();
    println!("{before_mib} MiB before, {most_mib} MiB at most");
    println!("{count} good calls, the slowest {slowest:?}; {lines} lines of the log");
    assert!(most_mib < before_mib + GROWTH_MAX_MIB, "it grew from {before_mib} to {most_mib} MiB");
    assert!(count > 0, "the good caller was never served");
    assert!(lines < LINES_MAX, "{lines} lines");
}

/// What is added by pages: `--unsent-bytes-max`, the pages that are being made, and what the allocator keeps.
const PAGES_MAX_MIB: u64 = 96;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_are_asked_for_at_once_do_not_outgrow_the_budget() {
    let (service, caller, before_mib) = start(200).await;

    // Each page has 100 reservations or more, of 17 KB each.
    let list = v1::ListReservationsRequest { page_size: 1000, ..Default::default() }.encode_to_vec();
    let stop = CancellationToken::new();
    let good = tokio::spawn(good_caller(caller, stop.clone()));
    let pages = Deaf::connect(&service).await.open(1000, LIST, &[framed(&list)], true).await;
    sleep(LASTS).await;
    stop.cancel();
    let (count, slowest) = good.await.expect("the good caller is served");
    drop(pages);
    let most_mib = memory_mib(&service, "VmHWM");
    println!("{before_mib} MiB before, {most_mib} MiB at most; {count} good calls, the slowest {slowest:?}");
    assert!(most_mib < before_mib + PAGES_MAX_MIB, "it grew from {before_mib} to {most_mib} MiB");
}
