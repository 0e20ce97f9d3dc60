//! Connections of callers: who makes room when there are too many (`room`), when one ends, and what is no call.

mod room;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use prost::Message;
use stockhold::grpc::http2::ConnectionsConfig;
use stockhold::grpc::v1;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic_health::pb::HealthCheckRequest;

use crate::support::client::Caller;
use crate::support::eventually;
use crate::support::http2::{BOUND, Http2, framed};
use crate::support::served::{FOR_EVER, ServedHere};
use crate::support::server::Instance;

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const LIST: &str = "/stockhold.v1.StockService/ListStock";
const RESERVE: &str = "/stockhold.v1.ReservationService/Reserve";
const REFLECT: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const SESSION: &str = "/stockhold.v1.ReservationService/Session";

/// After this time between two calls a connection is idle.
const IDLE_MIN: Duration = Duration::from_millis(100);

/// So short that it passes during the test.
const SHORT: Duration = Duration::from_millis(20);

/// So long that an answer is not late even on a machine that has other things to do.
const PONG_MAX: Duration = Duration::from_secs(1);

fn at_most(connections_max: usize) -> ConnectionsConfig {
    ConnectionsConfig::new(connections_max, FOR_EVER, FOR_EVER)
}

async fn start(config: ConnectionsConfig) -> ServedHere {
    ServedHere::start(config, 1 << 30).await
}

/// Makes one call, whose answer is read to its end.
async fn check(client: &mut Http2) {
    let mut answer = client.ask(CHECK, &HealthCheckRequest::default()).await.expect("an answer");
    while let Some(data) = timeout(BOUND, answer.data()).await.expect("is not late") {
        data.expect("the answer is complete");
    }
    answer.trailers().await.expect("the answer is complete").expect("trailers");
}

/// A call that is under way: its request has not arrived whole. It may take two seconds.
async fn begin(client: &mut Http2) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let call = client.post(RESERVE, false).await;
    // The service has read what was sent before.
    check(client).await;
    call
}

/// A stream that only waits.
async fn watch(client: &mut Http2) -> h2::RecvStream {
    let mut answer = client.ask(WATCH, &HealthCheckRequest::default()).await.expect("an answer");
    answer.data().await.expect("the present status").expect("the present status");
    answer
}

#[tokio::test]
async fn a_connection_ends_when_it_is_idle_for_long_and_not_before() {
    let it = start(ConnectionsConfig::new(10, SHORT, FOR_EVER)).await;
    let mut busy = Http2::connect(it.address).await;
    let watched = watch(&mut busy).await;
    let mut idle = Http2::connect(it.address).await;
    check(&mut idle).await;
    idle.ended().await;
    // It came before the other one, and stays.
    check(&mut busy).await;
    drop(watched);
    busy.ended().await;
    it.end().await;
}

#[tokio::test]
async fn an_old_connection_ends_with_what_is_under_way() {
    let it = start(ConnectionsConfig::new(10, FOR_EVER, SHORT)).await;
    let mut client = Http2::connect(it.address).await;
    let (answer, mut request) = client.post(RESERVE, false).await;
    let calls = client.calls.clone();
    eventually("nothing more can be begun on it", BOUND, async || calls.clone().ready().await.is_err()).await;
    drop(calls);
    request.send_data(framed(&[]), true).expect("what is under way goes on");
    let answer = timeout(BOUND, answer).await.expect("is not late").expect("an answer");
    assert_eq!(answer.headers()["grpc-status"], "3", "the request has no fields");
    client.ended().await;
    it.end().await;
}

#[tokio::test]
async fn an_old_connection_ends_its_watches() {
    let it = start(ConnectionsConfig::new(10, FOR_EVER, SHORT)).await;
    let mut client = Http2::connect(it.address).await;
    let mut watched = watch(&mut client).await;
    assert!(watched.data().await.is_none(), "the watch has ended");
    watched.trailers().await.expect("it is complete").expect("trailers");
    client.ended().await;
    it.end().await;
}

#[tokio::test]
async fn an_old_connection_tells_its_sessions_to_go() {
    let it = start(ConnectionsConfig::new(10, FOR_EVER, SHORT)).await;
    let mut client = Http2::connect(it.address).await;
    let (answer, requests) = client.post(SESSION, false).await;
    let mut answers = timeout(BOUND, answer).await.expect("is not late").expect("a session").into_body();
    let word = timeout(BOUND, answers.data()).await.expect("is not late").expect("a word").expect("a word");
    assert!(v1::SessionResponse::decode(&word[5..]).expect("a word").going_away);
    // The session ends although its caller closes nothing.
    answers.trailers().await.expect("it is complete").expect("trailers");
    drop(requests);
    client.ended().await;
    it.end().await;
}

#[tokio::test]
async fn a_peer_that_does_not_begin_loses_its_connection() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let config = ConnectionsConfig { preface_max: SHORT, ..at_most(10) };
    let it = start(config).await;
    for said in [&b""[..], &preface[..1], &preface[..preface.len() - 1], b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"] {
        let mut silent = TcpStream::connect(it.address).await.expect("connects");
        tokio::io::AsyncWriteExt::write_all(&mut silent, said).await.expect("is sent");
        let closed = timeout(BOUND, silent.read_to_end(&mut Vec::new())).await;
        // What was not read of it resets the connection.
        let _ = closed.expect("is closed");
    }
    let mut client = Http2::connect(it.address).await;
    check(&mut client).await;
    drop(client);
    it.end().await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_loses_its_connection() {
    let it = start(ConnectionsConfig { ping_every: SHORT, pong_max: PONG_MAX, ..at_most(2) }).await;
    let mut answers = Http2::connect(it.address).await;
    // It is under way for ten seconds.
    let reflected = answers.post(REFLECT, false).await;
    check(&mut answers).await;
    let deaf = Arc::new(AtomicBool::new(false));
    let mut gone = Http2::connect_through(it.address, &h2::client::Builder::new(), deaf.clone()).await;
    let reflected_too = gone.post(REFLECT, false).await;
    check(&mut gone).await;
    deaf.store(true, Ordering::Relaxed);
    // There is no place for another connection until this one ends.
    let mut fresh = Http2::connect(it.address).await;
    check(&mut fresh).await;
    // It has been asked for longer than the one that is gone, and has answered.
    check(&mut answers).await;
    drop((reflected, reflected_too, answers, gone, fresh));
    it.end().await;
}

#[tokio::test]
async fn what_is_no_call_is_told_so_before_anything_of_it_is_read() {
    let it = start(at_most(10)).await;
    let mut client = Http2::connect(it.address).await;
    for path in [RESERVE, CHECK, REFLECT, "/", "/no/such"] {
        for (method, kind, status) in [
            ("POST", "application/json", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ("POST", "application/grpc-web+proto", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ("POST", "", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ("GET", "application/grpc", StatusCode::METHOD_NOT_ALLOWED),
            ("PUT", "", StatusCode::METHOD_NOT_ALLOWED),
        ] {
            let request = Request::builder().method(method).uri(format!("http://localhost{path}"));
            let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
            let calls = client.calls.clone().ready().await.expect("the connection is usable");
            // Its end never comes.
            let (answer, _sending) =
                { calls }.send_request(request.body(()).expect("a request"), false).expect("is sent");
            let answer = timeout(BOUND, answer).await.expect("is answered").expect("is answered");
            assert_eq!(answer.status(), status, "{method} {kind} {path}");
            assert_eq!(answer.headers().contains_key("allow"), status == StatusCode::METHOD_NOT_ALLOWED);
        }
    }
    check(&mut client).await;
    drop(client);
    it.end().await;
}

/// A caller whose window lets nothing of an answer through.
async fn reads_nothing(it: &ServedHere) -> Http2 {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    Http2::connect_as(it.address, &builder).await
}

#[tokio::test]
async fn an_answer_that_is_not_read_ends_and_its_connection_goes_on() {
    let config = ConnectionsConfig { stall_max: SHORT, ..at_most(10) };
    let it = start(config).await;
    let mut client = reads_nothing(&it).await;
    for _ in 0..10 {
        let mut answer = client.ask(CHECK, &HealthCheckRequest::default()).await.expect("headers");
        let ended = timeout(BOUND, answer.data()).await.expect("the stream ends").expect("it does not end well");
        let reason = ended.expect_err("there is no room for data").reason();
        assert_eq!(reason, Some(h2::Reason::CANCEL));
    }
    assert_eq!(it.unsent.bytes(), 0);
    let mut reader = Http2::connect(it.address).await;
    check(&mut reader).await;
    drop((client, reader));
    it.end().await;
}

/// A request whose answer has some 110 KB.
async fn long_list(it: &ServedHere) -> v1::ListStockRequest {
    let mut caller = Caller::connect(it.address).await;
    for part in 0..10 {
        let item = |number| v1::SetStockItem { sku: format!("{number:0>100}"), ..Default::default() };
        let items = (0..100).map(|number| item(100 * part + number)).collect();
        let stock = v1::SetStockRequest { location: "l".into(), request_id: format!("part-{part}"), items };
        caller.stock.set_stock(stock).await.expect("is set");
    }
    v1::ListStockRequest { location: "l".into(), page_size: 1000, ..Default::default() }
}

#[tokio::test]
async fn a_caller_who_reads_nothing_at_all_loses_the_connection() {
    let it = start(ConnectionsConfig { stall_max: SHORT, ..at_most(1) }).await;
    let list = long_list(&it).await;
    let deaf = Arc::new(AtomicBool::new(false));
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 30).initial_connection_window_size(1 << 30);
    let mut client = Http2::connect_through(it.address, &builder, deaf.clone()).await;
    check(&mut client).await;
    deaf.store(true, Ordering::Relaxed);
    let mut open = Vec::new();
    for _ in 0..300 {
        let (answer, mut request) = client.post(LIST, false).await;
        request.send_data(framed(&list.encode_to_vec()), true).expect("is sent");
        open.push(answer);
    }
    // There is no place for another connection until this one ends.
    let mut fresh = Http2::connect(it.address).await;
    check(&mut fresh).await;
    eventually("nothing waits any more", BOUND, async || it.unsent.bytes() == 0).await;
    drop((fresh, client, open));
    it.end().await;
}

/// A caller whose window lets one more byte of each answer through from time to time, as long as they are there.
async fn reads_a_trickle(it: &ServedHere) -> Http2 {
    let stream = TcpStream::connect(it.address).await.expect("connects");
    let mut builder = h2::client::Builder::new();
    let (calls, mut connection) = builder.initial_window_size(0).handshake(stream).await.expect("both speak HTTP/2");
    let connection = tokio::spawn(async move {
        for window in 1.. {
            tokio::select! {
                ended = &mut connection => return ended,
                // It fails as long as the service has not heard of the last one.
                () = sleep(SHORT) => drop(connection.set_initial_window_size(window)),
            }
        }
        Ok(())
    });
    Http2 { calls, connection }
}

#[tokio::test]
async fn answers_that_are_nothing_but_headers_count_too() {
    let unsent_bytes_max = 256 * 1024;
    let it = ServedHere::start(ConnectionsConfig { stall_max: FOR_EVER, ..at_most(10) }, unsent_bytes_max).await;
    let deaf = Arc::new(AtomicBool::new(false));
    let mut client = Http2::connect_through(it.address, &h2::client::Builder::new(), deaf.clone()).await;
    check(&mut client).await;
    deaf.store(true, Ordering::Relaxed);
    // More than the sockets take, from one connection.
    let lines = (0..100).map(|number| v1::Line { sku: format!(" {number}"), quantity: 0 }).collect();
    let malformed = v1::ReserveRequest { reservation_id: "1".into(), lines, ..Default::default() };
    let mut open = Vec::new();
    for _ in 0..1024 {
        let (answer, mut request) = client.post(RESERVE, false).await;
        request.send_data(framed(&malformed.encode_to_vec()), true).expect("is sent");
        open.push(answer);
    }
    eventually("they wait", BOUND, async || it.unsent.bytes() > unsent_bytes_max).await;
    let mut reader = Http2::connect(it.address).await;
    eventually("the connection ends for them, as another caller needs the room", BOUND, async || {
        drop(reader.ask(LIST, &v1::ListStockRequest::default()).await.expect("headers"));
        it.unsent.bytes() < unsent_bytes_max
    })
    .await;
    drop((reader, client, open));
    it.end().await;
}

#[tokio::test]
async fn while_too_much_is_unsent_the_oldest_answers_go() {
    const LISTS: usize = 20;
    let unsent_bytes_max = 256 * 1024;
    for trickles in [false, true] {
        // Nothing ends for any other reason.
        let config = ConnectionsConfig { stall_max: FOR_EVER, ..at_most(10) };
        let it = ServedHere::start(config, unsent_bytes_max).await;
        let list = long_list(&it).await;
        let mut client = if trickles { reads_a_trickle(&it).await } else { reads_nothing(&it).await };
        let mut answers = Vec::new();
        for _ in 0..LISTS {
            answers.push(client.ask(LIST, &list).await);
        }
        // What waits never is more than the budget and what was under way when it was used up.
        assert!(it.unsent.bytes() < 2 * unsent_bytes_max, "{} bytes wait", it.unsent.bytes());
        let mut reader = Http2::connect(it.address).await;
        timeout(BOUND, async {
            loop {
                let mut answer = reader.ask(LIST, &list).await.expect("headers");
                // A refusal has no body.
                if let Some(data) = answer.data().await {
                    data.expect("the answer");
                    return;
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("others are not answered; trickles: {trickles}"));
        eventually(&format!("they go as others call; trickles: {trickles}"), BOUND, async || {
            drop(reader.ask(LIST, &v1::ListStockRequest::default()).await.expect("headers"));
            it.unsent.bytes() <= unsent_bytes_max
        })
        .await;
        drop((client, reader, answers));
        it.end().await;
    }
}

/// Begins many requests and takes them back at once.
async fn takes_all_back(client: &mut Http2) {
    for _ in 0..100 {
        let (_answer, mut sending) = client.post(RESERVE, false).await;
        sending.send_reset(h2::Reason::CANCEL);
    }
}

#[tokio::test]
async fn callers_cannot_fill_the_log() {
    let service = Instance::embedded().arg("--connections-max").arg("2").start();
    for _ in 0..20 {
        // Each makes the one before the last go.
        let mut client = Http2::connect(service.address()).await;
        check(&mut client).await;
        takes_all_back(&mut client).await;
        let ended = timeout(BOUND, client.connection).await.expect("the connection ends").expect("does not panic");
        assert_eq!(ended.expect_err("it broke the rules").reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
    }
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut client = Http2::connect(service.address()).await;
        check(&mut client).await;
        idle.push(client);
    }
    // The path of a call is the caller's own choice, and so is the encoding.
    let long = "x".repeat(10_000);
    let mut client = Http2::connect(service.address()).await;
    drop(client.ask(&format!("/{long}"), &HealthCheckRequest::default()).await.expect("a refusal"));
    eventually("it is refused", BOUND, async || service.log().contains("refused")).await;
    assert!(service.log().lines().all(|line| line.len() < 1000), "{}", service.log());
    for line in ["a peer broke the rules of HTTP/2", "all connections are taken"] {
        let times = || service.log().matches(line).count();
        eventually("it is told", BOUND, async || times() > 0).await;
        assert!(times() < 5, "{}", service.log());
    }
    assert!(!service.log().contains("locally-reset") && !service.log().contains("remotely-reset"));
}
