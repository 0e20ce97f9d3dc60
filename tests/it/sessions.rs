//! Sessions by hand: what they answer, when they are read from, and how they end.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use stockhold::grpc::v1;
use stockhold::grpc::v1::reservation_service_client::ReservationServiceClient;
use stockhold::grpc::v1::session_request::Request as Asked;
use stockhold_servers::proxy::Proxy;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;

use crate::support::client::Caller;
use crate::support::eventually;
use crate::support::http2::{BOUND, Http2, framed};
use crate::support::server::Instance;
use crate::support::session::{Session, came, cancel, channel, confirm, get, open_session, read_to_the_end, reserve};
use crate::support::site::{RawCodec, Site, is, lock_row};

/// Requests of a session that may be unanswered or unread.
const UNANSWERED_MAX: i64 = 1024;

const SESSION: &str = "/stockhold.v1.ReservationService/Session";

#[tokio::test]
async fn a_session_answers_as_calls_of_their_own_do() {
    let service = Instance::embedded().start();
    let mut caller = Caller::connect(service.address()).await;
    let mut session = Session::open(channel(&service).await).await;
    for sku in ["by call", "in session"] {
        caller.set(sku, 5).await;
    }
    // Every kind of request, each with all that can become of it here. The ids and skus of both ways differ.
    let both = |text: &str| [format!("{text} by call"), format!("{text} in session")];
    for (what, quantity) in [("fits", 3), ("too many", 6), ("none", 0), ("fits", 3), ("fits", 2)] {
        let [mut one, other] = both(what).map(|id| {
            let sku = if id.ends_with("call") { "by call" } else { "in session" };
            reserve(&id, &[(sku, quantity)])
        });
        let by_call = caller.reservations.reserve(one.clone()).await.map(|answer| answer.into_inner().reservation);
        session.ask(1, Asked::Reserve(other)).await;
        one.lines.clear();
        assert_eq!(session.answer().await, (1, as_called(by_call)), "Reserve {what}");
    }
    for id in ["fits", "unknown"] {
        let expire_time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
        let extend = |id| v1::ExtendRequest { reservation_id: id, expire_time, ..Default::default() };
        let [one, other] = both(id);
        let by_call =
            caller.reservations.extend(extend(one.clone())).await.map(|answer| answer.into_inner().reservation);
        session.ask(2, Asked::Extend(extend(other.clone()))).await;
        assert_eq!(session.answer().await, (2, as_called(by_call)), "Extend {id}");

        let by_call = caller.reservations.get_reservation(get(&one)).await;
        session.ask(3, Asked::GetReservation(get(&other))).await;
        let by_call = by_call.map(|answer| answer.into_inner().reservation);
        assert_eq!(session.answer().await, (3, as_called(by_call)), "GetReservation {id}");

        let by_call = caller.reservations.confirm(confirm(&one)).await.map(|answer| answer.into_inner().reservation);
        session.ask(4, Asked::Confirm(confirm(&other))).await;
        assert_eq!(session.answer().await, (4, as_called(by_call)), "Confirm {id}");

        let by_call = caller.reservations.cancel(cancel(&one)).await.map(|answer| answer.into_inner().reservation);
        session.ask(5, Asked::Cancel(cancel(&other))).await;
        assert_eq!(session.answer().await, (5, as_called(by_call)), "Cancel {id}");
    }
    assert_eq!(caller.counts("by call").await, caller.counts("in session").await);
    assert_eq!(caller.counts("in session").await, (2, 0, 2));

    session.requests.send(v1::SessionRequest { id: 6, request: None }).await.expect("is read");
    let answer = session.next().await.expect("no error").expect("not the end");
    assert_eq!(came(answer.outcome.expect("an outcome")), Err(is(Code::InvalidArgument, "INVALID_FIELD")));
    drop(session.requests);
    assert_eq!(session.answers.message().await.expect("ends well"), None, "closing one side ends it");
}

fn as_called(answer: Result<Option<v1::Reservation>, Status>) -> Result<v1::ReservationState, (Code, String)> {
    match answer {
        Ok(reservation) => Ok(reservation.expect("a reservation").state()),
        Err(status) => Err((status.code(), status.get_details_error_info().expect("a reason").reason)),
    }
}

#[tokio::test]
async fn a_request_that_waits_holds_up_no_other_and_the_bounds_are_those_of_calls() {
    let mut site = Site::start(&["--deadline-max", "2s", "--concurrency-max", "3", "--recover-grace", "1h"]).await;
    site.caller.set("a", 5).await;
    for id in ["1", "2"] {
        site.caller.reserve(id, &[("a", 1)]).await.expect("held");
    }
    let lock = lock_row(&site.database).await;
    let mut session = Session::open(site.channel().await).await;
    session.ask(1, Asked::Confirm(confirm("1"))).await;
    session.ask(2, Asked::GetReservation(get("1"))).await;
    assert!(matches!(session.answer().await, (2, Ok(_))), "it overtakes");
    session.ask(3, Asked::Confirm(confirm("2"))).await;
    session.ask(4, Asked::GetReservation(get("1"))).await;
    assert_eq!(
        session.answer().await,
        (4, Err(is(Code::ResourceExhausted, "OVERLOADED"))),
        "a connection may have two of three under way"
    );
    for id in [1, 3] {
        assert_eq!(
            session.answer().await,
            (id, Err(is(Code::DeadlineExceeded, "OUTCOME_UNKNOWN"))),
            "both wait too long"
        );
    }
    lock.rollback().await.expect("unlocks");
    let mut caller = site.caller.clone();
    eventually("both run to their end", BOUND, async || {
        // They may have the places still.
        caller.is("1", v1::ReservationState::Confirmed).await && caller.is("2", v1::ReservationState::Confirmed).await
    })
    .await;
    site.end().await;
}

#[tokio::test]
async fn a_session_that_breaks_is_no_failure_of_the_service() {
    let mut service = Instance::embedded().start();
    let proxy = Proxy::to(&service.address().to_string()).await;
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", proxy.port())).expect("an address");
    let broken = endpoint.connect().await.expect("connects");
    // Which error they end with depends on what is noticed first.
    let mut sessions = Vec::new();
    for id in 0..50 {
        let mut session = Session::open(broken.clone()).await;
        session.ask(id, Asked::GetReservation(get("x"))).await;
        assert_eq!(session.answer().await, (id, Err(is(Code::NotFound, "RESERVATION_NOT_FOUND"))));
        sessions.push(session);
    }
    drop(proxy);
    for session in &mut sessions {
        session.next().await.expect_err("it is broken");
    }
    for reason in 0..=13 {
        reset_sessions(service.address(), h2::Reason::from(reason)).await;
    }
    // When another call has been answered, the breaks before it have most likely been noticed.
    let another = channel(&service).await;
    ReservationServiceClient::new(another).get_reservation(get("x")).await.expect_err("nobody has reserved it");
    service.terminate();
    // Meanwhile its connection is closed by a task of this thread.
    let exit = spawn_blocking(move || (service.wait_exit(), service));
    let (status, service) = timeout(BOUND, exit).await.expect("ends").expect("does not panic");
    assert!(status.success());
    assert!(!service.log().contains("failed"), "{}", service.log());
}

/// Opens sessions and resets them, as a proxy may.
async fn reset_sessions(address: SocketAddr, reason: h2::Reason) {
    let mut connection = Http2::connect(address).await;
    for _ in 0..20 {
        let (_, mut requests) = open_session(&mut connection).await;
        requests.send_reset(reason);
    }
    connection.end().await;
}

#[tokio::test]
async fn the_session_that_has_been_idle_longest_makes_way_for_another() {
    let service = Instance::embedded().arg("--sessions-max").arg("2").start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 5).await;
    let mut busy = Session::open(channel(&service).await).await;
    let mut idle = Session::open(channel(&service).await).await;
    busy.ask(1, Asked::Reserve(reserve("1", &[("a", 1)]))).await;
    assert_eq!(busy.answer().await, (1, Ok(v1::ReservationState::Held)));

    let mut newcomer = Session::open(channel(&service).await).await;
    let word = idle.next().await.expect("no error").expect("not the end");
    assert!(word.going_away && word.outcome.is_none(), "{word:?}");
    idle.ask(2, Asked::Reserve(reserve("2", &[("a", 1)]))).await;
    assert_eq!(idle.answer().await, (2, Ok(v1::ReservationState::Held)), "it is still read from");
    assert_eq!(idle.next().await.expect("ends well"), None, "also without its caller");
    for session in [&mut busy, &mut newcomer] {
        session.ask(3, Asked::GetReservation(get("1"))).await;
        assert_eq!(session.answer().await, (3, Ok(v1::ReservationState::Held)), "the others stay");
    }
}

#[tokio::test]
async fn a_confirm_runs_to_its_end_when_its_session_breaks() {
    let mut site = Site::start(&["--recover-grace", "1h"]).await;
    site.caller.set("a", 5).await;
    site.caller.reserve("1", &[("a", 1)]).await.expect("held");
    let lock = lock_row(&site.database).await;
    let session = Session::open(site.channel().await).await;
    session.ask(1, Asked::Confirm(confirm("1"))).await;
    let mut caller = site.caller.clone();
    eventually("it has begun", BOUND, async || caller.is("1", v1::ReservationState::Confirming).await).await;
    drop(session);
    lock.rollback().await.expect("unlocks");
    eventually("it is confirmed", BOUND, async || caller.counts("a").await == (4, 0, 4)).await;
    site.end().await;
}

#[tokio::test]
async fn a_caller_who_does_not_read_is_not_read_from_and_delays_no_other() {
    const ASKED: i64 = 5000;
    let service = Instance::embedded().start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 1_000_000).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", service.address())).expect("an address");
    let narrow = endpoint.initial_stream_window_size(1000).connect().await.expect("connects");
    let mut session = Session::open(narrow).await;
    let requests = session.requests.clone();
    let asking = tokio::spawn(async move {
        for id in 1..=ASKED.unsigned_abs() {
            let request = Some(Asked::Reserve(reserve(&id.to_string(), &[("a", 1)])));
            requests.send(v1::SessionRequest { id, request }).await.expect("is read from in the end");
        }
    });
    let held = until_it_stops(&mut caller, "a", UNANSWERED_MAX).await;
    // Answers that were sent before the window was full are no longer unread.
    assert!(held < 2 * UNANSWERED_MAX, "{held} were read");
    for _ in 0..ASKED {
        assert_eq!(session.answer().await.1, Ok(v1::ReservationState::Held));
    }
    asking.await.expect("all were sent");
    assert_eq!(caller.counts("a").await.1, ASKED);
}

#[tokio::test]
async fn requests_that_wait_to_be_read_break_nothing_off() {
    const ASKED: u64 = 5000;
    let service = Instance::embedded().start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 1_000_000).await;
    // Its answers are not read, so it is not read from either. Meanwhile its requests come one by one.
    let mut narrow = h2::client::Builder::new();
    narrow.initial_window_size(1000);
    let mut connection = Http2::connect_as(service.address(), &narrow).await;
    let (answers, mut requests) = open_session(&mut connection).await;
    for id in 1..=ASKED {
        let request = Some(Asked::Reserve(reserve(&id.to_string(), &[("a", 1)])));
        let request = v1::SessionRequest { id, request }.encode_to_vec();
        requests.send_data(framed(&request), id == ASKED).expect("is sent");
    }
    until_it_stops(&mut caller, "a", UNANSWERED_MAX).await;
    let (answers, end) = read_to_the_end(answers).await;
    assert_eq!((answers.len() as u64, end), (ASKED, Code::Ok));
    assert!(answers.into_iter().all(|one| came(one.outcome.expect("one")) == Ok(v1::ReservationState::Held)));
}

/// Waits until so many units are held and no more; answers how many.
async fn until_it_stops(caller: &mut Caller, sku: &str, at_least: i64) -> i64 {
    let mut held = 0;
    eventually("it stops", BOUND, async || {
        let before = held;
        tokio::time::sleep(Duration::from_millis(200)).await;
        held = caller.counts(sku).await.1;
        held >= at_least && held == before
    })
    .await;
    held
}

/// Opens a session of messages whose every byte is the test's own choice.
async fn send_raw<const N: usize>(channel: Channel, messages: [Vec<u8>; N]) -> Result<Streaming<Vec<u8>>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.expect("ready");
    let path = SESSION.parse().expect("a path");
    let answers = grpc.streaming(Request::new(tokio_stream::iter(messages)), path, RawCodec).await?;
    Ok(answers.into_inner())
}

#[tokio::test]
async fn bytes_that_are_no_request_end_the_session() {
    let service = Instance::embedded().start();
    for (what, bytes) in [("no message", vec![0xff; 9]), ("a long message", vec![0; 300 * 1024])] {
        let status = match send_raw(channel(&service).await, [bytes]).await {
            Ok(mut answers) => timeout(BOUND, answers.message()).await.expect("ends").expect_err("no answer"),
            Err(status) => status,
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        assert_eq!(status.get_details_error_info().expect("a reason").reason, "INVALID_FIELD", "{what}");
        assert!(status.get_details_request_info().is_some(), "{what}");
    }
}

#[tokio::test]
async fn what_came_before_a_request_that_cannot_be_read_is_answered_first() {
    let mut site = Site::start(&["--deadline-max", "2s", "--recover-grace", "1h"]).await;
    site.caller.set("a", 5).await;
    site.caller.reserve("1", &[("a", 1)]).await.expect("held");
    let lock = lock_row(&site.database).await;
    let mut connection = Http2::connect(site.service.address()).await;
    let (answers, mut requests) = open_session(&mut connection).await;
    let send = |requests: &mut h2::SendStream<Bytes>, message: &[u8]| {
        requests.send_data(framed(message), false).expect("is sent");
    };
    let waits = v1::SessionRequest { id: 1, request: Some(Asked::Confirm(confirm("1"))) };
    send(&mut requests, &waits.encode_to_vec());
    send(&mut requests, &[0xff; 9]);
    // So many small unread frames would break the connection off, if its window did not bound them.
    for id in 2..5000 {
        let unread = v1::SessionRequest { id, request: Some(Asked::GetReservation(get("1"))) };
        send(&mut requests, &unread.encode_to_vec());
    }

    let (answers, end) = read_to_the_end(answers).await;
    let answers: Vec<_> = answers.into_iter().map(|one| (one.id, came(one.outcome.expect("an outcome")))).collect();
    assert_eq!(answers, [(1, Err(is(Code::DeadlineExceeded, "OUTCOME_UNKNOWN")))]);
    assert_eq!(end, Code::InvalidArgument);
    lock.rollback().await.expect("unlocks");
    site.end().await;
}

#[tokio::test]
async fn nothing_is_read_after_a_request_that_cannot_be_read() {
    const MESSAGE_BYTES_MAX: usize = 256 * 1024;
    let service = Instance::embedded().start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 5).await;
    caller.reserve("victim", &[("a", 1)]).await.expect("held");
    // If the server read on from within it, this would be a request, and the beginning of one that never ends.
    let mut too_long = Vec::new();
    let hidden = v1::SessionRequest { id: 1, request: Some(Asked::Cancel(cancel("victim"))) }.encode_to_vec();
    for len in [hidden.len(), MESSAGE_BYTES_MAX] {
        too_long.push(0);
        too_long.extend(u32::try_from(len).expect("short").to_be_bytes());
        too_long.extend(&hidden);
    }
    too_long.resize(MESSAGE_BYTES_MAX + 1, 0);

    let mut answers = send_raw(channel(&service).await, [too_long]).await.expect("opens");
    let refused = timeout(BOUND, answers.message()).await.expect("is answered");
    assert_eq!(refused.expect_err("it is too long").code(), Code::InvalidArgument);
    // A request that is read reaches the store before the refusal is sent, and the store keeps that order.
    assert_eq!(caller.counts("a").await, (5, 1, 4), "what was hidden in it was done");
}

#[tokio::test]
async fn a_session_is_told_of_its_servers_end_and_may_finish() {
    let mut service = Instance::embedded().arg("--shutdown-grace").arg("9500ms").start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 5).await;
    let mut polite = Session::open(channel(&service).await).await;
    let mut deaf = Session::open(channel(&service).await).await;
    service.terminate();
    for session in [&mut polite, &mut deaf] {
        let word = session.next().await.expect("no error").expect("not the end");
        assert!(word.going_away && word.outcome.is_none(), "{word:?}");
        session.ask(7, Asked::Reserve(reserve("late", &[("a", 1)]))).await;
        assert_eq!(session.answer().await, (7, Ok(v1::ReservationState::Held)), "it is still read from");
    }
    drop(polite.requests);
    assert_eq!(polite.answers.message().await.expect("ends well"), None);
    assert_eq!(deaf.next().await.expect("ends well"), None, "also without its caller");
    assert!(service.wait_exit().success());
    assert!(!service.log().contains("leaving them"), "{}", service.log());
}
