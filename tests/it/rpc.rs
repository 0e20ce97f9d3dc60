//! The RPC surface over a real socket and real servers: every row of the error table, malformed input, deadlines,
//! callers who hang up.

use std::time::Duration;

use stockhold::grpc::v1;
use stockhold_servers::proxy::Proxy;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::support::client::{Caller, refusal, request_id_of, to_lines, violations};
use crate::support::eventually;
use crate::support::redis::{client, run};
use crate::support::server::Instance;
use crate::support::site::{Site, is, lock_row};

/// The names that health knows.
const NAMES: [&str; 4] = ["", "stockhold.v1.ReservationService", "stockhold.v1.StockService", "stockhold.completion"];

#[tokio::test]
async fn every_refusal_has_its_code_its_reason_and_its_details() {
    let mut site = Site::start(&["--ttl-min", "100ms"]).await;
    let it = &mut site.caller;
    it.set("a", 5).await;
    it.set("b", 5).await;

    let malformed = v1::ReserveRequest {
        lines: to_lines(&[("a", 0), (" b", 1)]),
        ttl: Some(prost_types::Duration { seconds: 3601, nanos: 0 }),
        ..Default::default()
    };
    let malformed = it.reservations.reserve(malformed).await;
    let mut fields: Vec<_> = violations(&malformed).into_keys().collect();
    fields.sort();
    assert_eq!(fields, ["lines[0].quantity", "lines[1].sku", "reservation_id", "ttl"]);
    assert_eq!(refusal(malformed), is(Code::InvalidArgument, "INVALID_FIELD"));

    it.reserve("held", &[("a", 2)]).await.expect("held");
    let short = it.reserve("short", &[("a", 4), ("b", 6)]).await;
    let found = violations(&short);
    assert_eq!(found["a"], "requested 4, available 3, held 2");
    assert_eq!(found["b"], "requested 6, available 5, held 0");
    assert_eq!(refusal(short), is(Code::FailedPrecondition, "INSUFFICIENT_STOCK"));

    let unknown = it.reserve("unknown", &[("a", 1), ("nothing", 1)]).await;
    assert_eq!(refusal(unknown), is(Code::NotFound, "UNKNOWN_SKU"));

    assert_eq!(refusal(it.confirm("nobody").await), is(Code::NotFound, "RESERVATION_NOT_FOUND"));
    assert_eq!(refusal(it.state("nobody").await), is(Code::NotFound, "RESERVATION_NOT_FOUND"));
    let other = it.reserve("held", &[("a", 1)]).await;
    assert_eq!(refusal(other), is(Code::AlreadyExists, "RESERVATION_ID_REUSED"));

    let part = |quantity| v1::ConfirmRequest {
        reservation_id: "held".into(),
        lines: to_lines(&[("a", quantity)]),
        ..Default::default()
    };
    let more = it.reservations.confirm(part(3)).await;
    assert_eq!(refusal(more), is(Code::FailedPrecondition, "CONFIRM_MISMATCH"));
    it.reservations.confirm(part(1)).await.expect("confirmed");
    assert_eq!(refusal(it.confirm("held").await), is(Code::FailedPrecondition, "CONFIRM_MISMATCH"));
    assert_eq!(refusal(it.cancel("held").await), is(Code::FailedPrecondition, "RESERVATION_CONFIRMED"));

    it.cancel("given back").await.expect("cancelled");
    let late = it.reserve("given back", &[("a", 1)]).await;
    assert_eq!(refusal(late), is(Code::FailedPrecondition, "RESERVATION_CANCELLED"));

    let ttl = Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 });
    let request =
        v1::ReserveRequest { reservation_id: "late".into(), lines: to_lines(&[("b", 5)]), ttl, ..Default::default() };
    it.reservations.reserve(request).await.expect("held");
    let mut caller = it.clone();
    eventually("it expires", Duration::from_secs(5), async || caller.is("late", v1::ReservationState::Expired).await)
        .await;
    assert_eq!(refusal(it.confirm("late").await), is(Code::FailedPrecondition, "RESERVATION_EXPIRED"));
    it.reserve("first", &[("b", 1)]).await.expect("held");
    let reacquire = v1::ConfirmRequest {
        reservation_id: "late".into(),
        late_policy: v1::LatePolicy::Reacquire.into(),
        ..Default::default()
    };
    let gone = it.reservations.confirm(reacquire).await;
    assert_eq!(violations(&gone)["b"], "requested 5, available 4");
    assert_eq!(refusal(gone), is(Code::FailedPrecondition, "RESERVATION_REJECTED"));
    assert_eq!(refusal(it.confirm("late").await), is(Code::FailedPrecondition, "RESERVATION_REJECTED"));

    let item = |on_hand, expected_version| v1::SetStockItem {
        sku: "a".into(),
        on_hand,
        expected_version,
        ..Default::default()
    };
    let set = |request_id: &str, item| v1::SetStockRequest {
        request_id: request_id.into(),
        items: vec![item],
        ..Default::default()
    };
    let versions = it.stock.set_stock(set("1", item(9, Some(1)))).await;
    assert_eq!(refusal(versions), is(Code::Aborted, "VERSION_MISMATCH"));
    it.stock.set_stock(set("2", item(9, None))).await.expect("set");
    // The request id is looked at before the version.
    let reused = it.stock.set_stock(set("2", item(8, Some(1)))).await;
    assert_eq!(refusal(reused), is(Code::AlreadyExists, "REQUEST_ID_REUSED"));
    let retire = v1::SetStockItem { retired: true, ..item(9, None) };
    it.stock.set_stock(set("3", retire)).await.expect("set");
    assert_eq!(refusal(it.reserve("retired", &[("a", 1)]).await), is(Code::FailedPrecondition, "SKU_RETIRED"));

    let change = v1::StockChange { sku: "nothing".into(), delta: 1 };
    let adjust = v1::AdjustStockRequest {
        request_id: "4".into(),
        reason: "receipt".into(),
        changes: vec![change],
        ..Default::default()
    };
    assert_eq!(refusal(it.stock.adjust_stock(adjust).await), is(Code::NotFound, "UNKNOWN_SKU"));

    run::<i64>(&client(&site.redis.url()).await, "HSET", &["stockhold:{default}:records", "tampered", "with"]).await;
    assert_eq!(refusal(it.confirm("tampered").await), is(Code::Internal, "INTERNAL"));
    // A thread of the test reads the log, and may be a little behind the answer.
    let service = &site.service;
    eventually("the cause is in the log", Duration::from_secs(5), async || {
        service.log().contains("record of tampered")
    })
    .await;
    site.end().await;
}

#[tokio::test]
async fn a_redis_that_is_away_is_said_to_be_and_comes_back() {
    let mut site = Site::start(&[]).await;
    site.caller.set("a", 5).await;
    let mut health = site.health().await;
    let mut serves = async |service: &str| {
        let request = HealthCheckRequest { service: service.into() };
        health.check(request).await.expect("health answers").into_inner().status() == ServingStatus::Serving
    };
    for service in NAMES {
        assert!(serves(service).await, "{service}");
    }
    // Many are under way when the connections break, each at another point.
    let crowd: Vec<_> = (0..30)
        .map(|number| {
            let mut caller = site.caller.clone();
            tokio::spawn(async move {
                loop {
                    let answer = caller.reserve(&format!("crowd-{number}"), &[("a", 1)]).await;
                    if answer.as_ref().is_err_and(|status| status.code() == Code::FailedPrecondition) {
                        continue;
                    }
                    if answer.is_err() {
                        return refusal(answer);
                    }
                }
            })
        })
        .collect();
    site.redis.kill();
    for one in crowd {
        let (code, reason) = one.await.expect("does not panic");
        assert_eq!(code, Code::Unavailable, "{reason}");
    }
    let mut caller = site.caller.clone();
    eventually("nothing is sent any more", Duration::from_secs(5), async || {
        let (code, reason) = refusal(caller.reserve("1", &[("a", 1)]).await);
        assert_eq!(code, Code::Unavailable);
        reason == "STORE_UNAVAILABLE"
    })
    .await;
    for answer in [caller.confirm("1").await, caller.cancel("1").await] {
        assert_eq!(refusal(answer), is(Code::Unavailable, "STORE_UNAVAILABLE"));
    }
    for service in NAMES {
        eventually("health follows", Duration::from_secs(5), async || !serves(service).await).await;
    }
    site.redis.restart_empty().await;
    for service in NAMES {
        eventually("health follows", Duration::from_secs(10), async || serves(service).await).await;
    }
    eventually("it heals by itself", Duration::from_secs(10), async || caller.reserve("1", &[("a", 5)]).await.is_ok())
        .await;
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_that_is_away_stops_no_reserve_and_what_was_begun_is_completed() {
    let mut site = Site::start(&[]).await;
    let (mut proxy, url) = Proxy::to_database(&site.database.url).await;
    let instance = Instance::with_stores(&site.redis.url(), "stockhold", &url);
    site.service =
        ["--recover-grace", "100ms", "--recover-every", "100ms"].into_iter().fold(instance, Instance::arg).start();
    site.caller = Caller::connect(site.service.address()).await;
    let mut caller = site.caller.clone();
    caller.set("a", 10).await;
    for id in ["to confirm", "to cancel"] {
        caller.reserve(id, &[("a", 2)]).await.expect("held");
    }
    proxy.cut().await;

    for id in ["new 1", "new 2"] {
        caller.reserve(id, &[("a", 1)]).await.expect("Redis knows the sku");
    }
    assert_eq!(refusal(caller.cancel("to cancel").await), is(Code::Unavailable, "OUTCOME_UNKNOWN"));
    assert_eq!(caller.counts("a").await, (10, 4, 6), "its units are free at once");
    assert_eq!(refusal(caller.confirm("to confirm").await), is(Code::Unavailable, "OUTCOME_UNKNOWN"));
    assert!(caller.is("new 1", v1::ReservationState::Held).await);
    assert_eq!(refusal(caller.reserve("unknown", &[("b", 1)]).await), is(Code::Unavailable, "STORE_UNAVAILABLE"));

    let mut health = site.health().await;
    let mut serves = async |service: &str| {
        let request = HealthCheckRequest { service: service.into() };
        health.check(request).await.expect("health answers").into_inner().status() == ServingStatus::Serving
    };
    for name in ["stockhold.v1.StockService", "stockhold.completion"] {
        eventually("it is not served", Duration::from_secs(5), async || !serves(name).await).await;
    }
    assert!(serves("stockhold.v1.ReservationService").await, "reservations are");

    proxy.mend().await;
    eventually("supply is served again", Duration::from_secs(10), async || serves("stockhold.v1.StockService").await)
        .await;
    eventually("both are completed", Duration::from_secs(20), async || {
        caller.is("to confirm", v1::ReservationState::Confirmed).await
            && caller.is("to cancel", v1::ReservationState::Cancelled).await
            && caller.counts("a").await == (8, 2, 6)
    })
    .await;
    site.end().await;
}

#[tokio::test]
async fn a_confirm_runs_to_its_end_without_its_caller() {
    let mut site = Site::start(&["--recover-grace", "1h"]).await;
    site.caller.set("a", 5).await;
    for id in ["timed out", "hung up"] {
        site.caller.reserve(id, &[("a", 1)]).await.expect("held");
    }
    let lock = lock_row(&site.database).await;

    // A client which does not end its call itself when the time is up.
    let mut request = Request::new(v1::ConfirmRequest { reservation_id: "timed out".into(), ..Default::default() });
    request.metadata_mut().insert("grpc-timeout", "150m".parse().expect("a value"));
    let timed_out = site.caller.reservations.confirm(request).await;
    assert_eq!(
        timed_out.map_err(|status| status.code()).expect_err("too late"),
        Code::Cancelled,
        "tonic's own client gives up as well"
    );

    let mut caller = site.caller.clone();
    let call = tokio::spawn(async move { caller.confirm("hung up").await });
    let mut caller = site.caller.clone();
    eventually("it has begun", Duration::from_secs(5), async || {
        caller.is("hung up", v1::ReservationState::Confirming).await
    })
    .await;
    call.abort();

    lock.rollback().await.expect("unlocks");
    eventually("both are confirmed", Duration::from_secs(10), async || caller.counts("a").await == (3, 0, 3)).await;
    site.end().await;
}

#[tokio::test]
async fn an_unknown_outcome_is_said_to_be_and_is_settled_later() {
    let mut site =
        Site::start(&["--recover-grace", "100ms", "--recover-every", "100ms", "--deadline-max", "20s"]).await;
    site.caller.set("a", 5).await;
    for id in ["1", "2"] {
        site.caller.reserve(id, &[("a", 1)]).await.expect("held");
    }
    let lock = lock_row(&site.database).await;
    assert_eq!(refusal(site.caller.confirm("1").await), is(Code::Unavailable, "OUTCOME_UNKNOWN"));
    lock.rollback().await.expect("unlocks");
    let mut caller = site.caller.clone();
    eventually("recovery confirms it", Duration::from_secs(15), async || {
        caller.is("1", v1::ReservationState::Confirmed).await
    })
    .await;
    assert_eq!(caller.confirm("1").await.expect("the same answer").state(), v1::ReservationState::Confirmed);
    assert_eq!(caller.counts("a").await, (4, 1, 3));
    site.end().await;
}

#[tokio::test]
async fn the_servers_own_deadline_is_told_as_an_unknown_outcome() {
    let mut site = Site::start(&["--deadline-max", "2s"]).await;
    site.caller.set("a", 5).await;
    site.caller.reserve("1", &[("a", 1)]).await.expect("held");
    let lock = lock_row(&site.database).await;
    assert_eq!(refusal(site.caller.confirm("1").await), is(Code::DeadlineExceeded, "OUTCOME_UNKNOWN"));
    lock.rollback().await.expect("unlocks");
    let mut caller = site.caller.clone();
    eventually("it is completed", Duration::from_secs(20), async || {
        caller.is("1", v1::ReservationState::Confirmed).await
    })
    .await;
    site.end().await;
}

#[tokio::test]
async fn load_beyond_the_bound_is_refused_and_health_is_not() {
    let mut site = Site::start(&["--concurrency-max", "1"]).await;
    site.caller.set("a", 5).await;
    site.caller.reserve("1", &[("a", 1)]).await.expect("held");
    let lock = lock_row(&site.database).await;
    let mut caller = site.caller.clone();
    let waits = tokio::spawn(async move {
        loop {
            match caller.confirm("1").await {
                // The reads below may have had the place just now.
                Err(status) if status.code() == Code::ResourceExhausted => {}
                answer => return answer,
            }
        }
    });
    let mut caller = site.caller.clone();
    eventually("the place is taken", Duration::from_secs(5), async || match caller.state("1").await {
        Ok(_) => false,
        refused => refusal(refused) == is(Code::ResourceExhausted, "OVERLOADED"),
    })
    .await;
    site.health().await.check(HealthCheckRequest::default()).await.expect("answers under load");
    lock.rollback().await.expect("unlocks");
    waits.await.expect("runs").expect("confirmed");
    site.end().await;
}

#[tokio::test]
async fn every_call_has_a_request_id_the_callers_own_if_it_sends_one() {
    let site = Site::start(&[]).await;
    let mut stock = site.caller.stock.clone();
    let answer = stock.list_stock(v1::ListStockRequest::default()).await.expect("lists");
    assert!(!request_id_of(&answer).is_empty());
    let mut request = Request::new(v1::ListStockRequest::default());
    request.metadata_mut().insert("x-request-id", "trace-1".parse().expect("a value"));
    assert_eq!(request_id_of(&stock.list_stock(request).await.expect("lists")), "trace-1");
    site.end().await;
}
