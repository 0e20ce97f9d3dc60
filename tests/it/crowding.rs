//! What one caller cannot do to others: take all permits, all sessions or all memory, with requests that never arrive,
//! streams that idle, and answers that are not read.

use stockhold::grpc::v1;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::support::client::Caller;
use crate::support::deaf::Deaf;
use crate::support::http2::framed;
use crate::support::server::Instance;
use crate::support::session::{Session, channel};

const RESERVE: &str = "/stockhold.v1.ReservationService/Reserve";
const SESSION: &str = "/stockhold.v1.ReservationService/Session";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECT: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

#[tokio::test]
async fn requests_that_never_arrive_take_no_permit_of_calls() {
    let service = Instance::embedded().arg("--concurrency-max").arg("64").start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 1000).await;
    let mut attack = Vec::new();
    for number in 0..5 {
        attack.push(Deaf::connect(&service).await.open(200, RESERVE, &[], false).await);
        for index in 0..10 {
            let held = caller.reserve(&format!("{number} {index}"), &[("a", 1)]).await;
            assert_eq!(held.expect("they are in no caller's way").state(), v1::ReservationState::Held);
        }
    }
}

#[tokio::test]
async fn idle_sessions_lock_no_caller_out() {
    let service = Instance::embedded().start();
    let mut attack = Vec::new();
    for _ in 0..2 {
        let mut deaf = Deaf::connect(&service).await.open(600, SESSION, &[], false).await;
        let (codes, heads) = deaf.codes().await;
        let open = codes.iter().filter(|code| **code == Code::Ok).count();
        assert!((128..600).contains(&open), "{open} were opened");
        attack.push((deaf, heads));
    }
    for _ in 0..3 {
        Session::open(channel(&service).await).await;
    }
}

#[tokio::test]
async fn watches_of_health_are_bounded_and_a_check_is_always_answered() {
    let service = Instance::embedded().start();
    let mut deaf = Deaf::connect(&service).await.open(100, WATCH, &[framed(&[])], true).await;
    let (codes, _heads) = deaf.codes().await;
    let refused = codes.iter().filter(|code| **code == Code::ResourceExhausted).count();
    let open = codes.iter().filter(|code| **code == Code::Ok).count();
    assert_eq!((open, refused), (8, 92), "{codes:?}");
    // Checks that never arrive are in the way of no other connection either.
    let _deaf = deaf.open(100, CHECK, &[], false).await;
    let mut health = HealthClient::new(channel(&service).await);
    health.check(HealthCheckRequest::default()).await.expect("is answered at any time");
}

#[tokio::test]
async fn streams_of_reflection_are_few() {
    let service = Instance::embedded().start();
    let mut open = 0;
    let mut attack = Vec::new();
    for _ in 0..3 {
        let mut deaf = Deaf::connect(&service).await.open(50, REFLECT, &[], false).await;
        let (codes, heads) = deaf.codes().await;
        assert!(codes.iter().all(|code| [Code::Ok, Code::ResourceExhausted].contains(code)), "{codes:?}");
        open += codes.iter().filter(|code| **code == Code::Ok).count();
        attack.push((deaf, heads));
    }
    assert!((1..=16).contains(&open), "{open} streams are open");
}

#[tokio::test]
async fn reflection_can_be_turned_off() {
    for (setting, code) in [("true", Code::Ok), ("false", Code::Unimplemented)] {
        let service = Instance::embedded().arg("--reflection").arg(setting).start();
        let mut client = ServerReflectionClient::new(channel(&service).await);
        let list = MessageRequest::ListServices(String::new());
        let list = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
        let answer = client.server_reflection_info(tokio_stream::iter([list])).await;
        assert_eq!(answer.map_or_else(|status| status.code(), |_| Code::Ok), code, "--reflection {setting}");
    }
}

/// The lines of the access log that a caller brought about.
async fn refused_lines(levels: &str, refusals: usize) -> (usize, String) {
    let service = Instance::embedded().env("RUST_LOG", levels).start();
    let mut caller = Caller::connect(service.address()).await;
    for index in 0..refusals {
        let mut request =
            tonic::Request::new(v1::GetReservationRequest { reservation_id: "x".into(), ..Default::default() });
        request.metadata_mut().insert("x-request-id", format!("call-{index}-end").parse().expect("a value"));
        caller.reservations.get_reservation(request).await.expect_err("there is none");
    }
    // What comes last is seen last.
    service.terminate();
    let mut service = service;
    let (log, status) = tokio::task::spawn_blocking(move || (service.wait_exit(), service))
        .await
        .map(|(status, service)| (service.log(), status))
        .expect("does not panic");
    assert!(status.success());
    (log.lines().filter(|line| line.contains("RESERVATION_NOT_FOUND") || line.contains("refused")).count(), log)
}

#[tokio::test]
async fn refusals_are_in_the_access_log_by_their_request_id_and_cannot_flood_it() {
    let (lines, log) = refused_lines("info", 3).await;
    assert_eq!(lines, 3, "{log}");
    assert!(log.contains("stockhold::access") && log.contains("call-2-end"), "{log}");
    let (lines, log) = refused_lines("info,stockhold::access=warn", 3).await;
    assert_eq!(lines, 0, "{log}");
    let (lines, _) = refused_lines("info", 300).await;
    // A slow machine may need another period.
    assert!((100..=200).contains(&lines), "{lines} lines");
    let (lines, _) = refused_lines("info,stockhold::access=debug", 300).await;
    assert_eq!(lines, 300);
}
