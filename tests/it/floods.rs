//! Floods: frames without end, and half of what is promised. The service has one place for a connection. A flood takes
//! it, and goes on until it loses it to a fresh caller, who is served, or because it broke the rules of HTTP/2.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::support::client::Caller;
use crate::support::server::{Instance, TestService};

/// Far more than it takes to be served, or to lose a connection.
const BOUND: Duration = Duration::from_secs(30);

/// What the process may grow by in all floods together. An unbounded flood takes more within a second.
const GROWTH_MAX_KIB: u64 = 64 * 1024;

/// Lines of the log that all floods together may cause, at the default level: 100 refusals, and few of all else. They
/// take less than a period of the bound of refusals, and a slow machine may need another one.
const LINES_MAX: usize = 250;

/// How much is written at once, in bytes.
const WRITE_BYTES: usize = 16 * 1024;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Kinds of frames, and flags.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const UNKNOWN: u8 = 0xfa;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What a flood sends, step by step; nothing once it is silent.
type Step = fn(u32) -> Vec<u8>;

const FLOODS: [(&str, Step); 14] = [
    ("PING", |_| frame(PING, 0, 0, &[0; 8])),
    ("SETTINGS", |_| frame(SETTINGS, 0, 0, &[])),
    ("WINDOW_UPDATE", |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
    ("PRIORITY", |step| frame(PRIORITY, 0, stream(step), &[0, 0, 0, 0, 16])),
    ("a kind of frame that nobody knows", |_| frame(UNKNOWN, 0, 0, &[0; 100])),
    ("a frame that is too large", |_| frame(DATA, 0, 1, &[0; 20_000])),
    ("RST_STREAM of streams that are not there", |step| frame(RST_STREAM, 0, stream(step), &[0, 0, 0, 8])),
    ("requests that are taken back", |step| {
        [frame(HEADERS, END_HEADERS, stream(step), &head()), frame(RST_STREAM, 0, stream(step), &[0, 0, 0, 8])].concat()
    }),
    ("requests that never arrive", |step| frame(HEADERS, END_HEADERS, stream(step), &head())),
    ("headers that are too large", |step| {
        let name = [0x00, 1, b'x', 0x7f, 0xad, 0x7e];
        let headers = [&head()[..], &name, &[b'x'; 16_300]].concat();
        frame(HEADERS, END_HEADERS | END_STREAM, stream(step), &headers)
    }),
    ("half of the headers", |step| if step == 0 { frame(HEADERS, 0, 1, &head()) } else { Vec::new() }),
    ("CONTINUATION", |step| match step {
        0 => frame(HEADERS, 0, 1, &head()),
        _ => frame(CONTINUATION, 0, 1, &[0x00, 1, b'x', 1, b'x']),
    }),
    ("DATA without data", |step| match step {
        0 => frame(HEADERS, END_HEADERS, 1, &head()),
        _ => frame(DATA, 0, 1, &[]),
    }),
    ("DATA of one byte", |step| match step {
        0 => frame(HEADERS, END_HEADERS, 1, &head()),
        _ => frame(DATA, 0, 1, &[0]),
    }),
];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The number of a stream that a client opens.
fn stream(step: u32) -> u32 {
    2 * step + 1
}

/// The headers of a Reserve, in HPACK.
fn head() -> Vec<u8> {
    let path = b"/stockhold.v1.ReservationService/Reserve";
    let kind = b"application/grpc";
    let (post, http, path_is, kind_is) = (0x83, 0x86, [0x04, path.len() as u8], [0x0f, 0x10, kind.len() as u8]);
    [&[post, http], &path_is[..], path, &kind_is, kind].concat()
}

/// Sends until the connection is lost. Says when the service has accepted it.
fn flood(address: SocketAddr, step: Step, begun: oneshot::Sender<()>) {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).expect("is sent");
    let mut answers = stream.try_clone().expect("a second handle");
    answers.read_exact(&mut [0]).expect("what the service says first");
    let reading = thread::spawn(move || while answers.read(&mut [0; WRITE_BYTES]).is_ok_and(|bytes| bytes > 0) {});
    let _ = begun.send(());
    let mut steps = (0..).map(step);
    let mut is_silent = false;
    while !is_silent {
        let mut bytes = Vec::new();
        while !is_silent && bytes.len() < WRITE_BYTES {
            let more = steps.next().expect("there is no end");
            is_silent = more.is_empty();
            bytes.extend(more);
        }
        if stream.write_all(&bytes).is_err() {
            break;
        }
    }
    reading.join().expect("does not panic");
}

/// Of `/proc`.
fn most_kib(service: &TestService) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("it is running");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("Linux has it");
    line.split_whitespace().nth(1).expect("a value").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flood_keeps_its_connection_from_a_fresh_caller() {
    let service = Instance::embedded().arg("--connections-max").arg("1").start();
    Caller::connect(service.address()).await.set("a", 1000).await;
    let before_kib = most_kib(&service);
    for (what, step) in FLOODS {
        let (begun, has_begun) = oneshot::channel();
        let address = service.address();
        let flood = spawn_blocking(move || flood(address, step, begun));
        timeout(BOUND, has_begun).await.expect("the flood is let in").expect("it has begun");
        let mut fresh = Caller::connect(address).await;
        let served = timeout(BOUND, fresh.reserve(what, &[("a", 1)])).await;
        served.unwrap_or_else(|_| panic!("{what}: a fresh caller is kept out")).expect("held");
        let ended = timeout(BOUND, flood).await;
        ended.unwrap_or_else(|_| panic!("{what}: the flood goes on")).expect("does not panic");
    }
    let growth_kib = most_kib(&service) - before_kib;
    println!("it grew by {growth_kib} KiB");
    assert!(growth_kib < GROWTH_MAX_KIB, "it grew by {growth_kib} KiB");
    let log = service.log();
    assert!(log.lines().count() < LINES_MAX, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_a_call_ends_however_much_it_says() {
    let service = Instance::embedded().arg("--connection-idle-max").arg("100ms").start();
    for (what, step) in FLOODS.into_iter().take(5) {
        let (begun, _) = oneshot::channel();
        let address = service.address();
        let ended = timeout(BOUND, spawn_blocking(move || flood(address, step, begun))).await;
        ended.unwrap_or_else(|_| panic!("{what}: the flood goes on")).expect("does not panic");
    }
}
