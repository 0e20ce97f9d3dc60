//! The client whose callers share a session.

use std::time::Duration;

use futures::future::join_all;
use sea_orm::DatabaseTransaction;
use stockhold::grpc::v1;
use stockhold_client::Client;
use stockhold_client::v1 as client_v1;
use stockhold_servers::proxy::Proxy;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::client::Caller;
use crate::support::eventually;
use crate::support::server::Instance;
use crate::support::session::{Session, channel};
use crate::support::site::{Site, lock_row};

/// Longer than anything here takes.
const BOUND: Duration = Duration::from_secs(30);

fn client_reserve(id: impl ToString) -> client_v1::ReserveRequest {
    let lines = vec![client_v1::Line { sku: "a".into(), quantity: 1 }];
    client_v1::ReserveRequest { reservation_id: id.to_string(), lines, ..Default::default() }
}

#[tokio::test]
async fn callers_of_the_client_share_a_stream() {
    let service = Instance::embedded().start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 2500).await;
    let client = Client::new(channel(&service).await);
    let answers = join_all((0..3000).map(|id| client.reserve(client_reserve(id)))).await;
    let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 500);
    for status in refused {
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(status.get_details_error_info().expect("a reason").reason, "INSUFFICIENT_STOCK");
        assert!(status.get_details_precondition_failure().is_some());
    }
    // A caller who gives up leaves nothing behind and disturbs no other.
    drop(tokio::spawn({
        let client = client.clone();
        async move { timeout(Duration::ZERO, client.cancel(client_v1::CancelRequest::default())).await }
    }));
    let request = || client_v1::GetReservationRequest { reservation_id: "0".into(), ..Default::default() };
    let id = client.get_reservation(request()).await.expect("is known").reservation_id;
    assert_eq!(id, "0");
}

/// Begins a confirm over the client, which waits for the lock of its row.
async fn confirm_that_waits(
    site: &mut Site,
    client: &Client,
) -> (DatabaseTransaction, JoinHandle<Result<client_v1::Reservation, Status>>) {
    site.caller.set("a", 5).await;
    client.reserve(client_reserve("1")).await.expect("held");
    let lock = lock_row(&site.database).await;
    let confirming = tokio::spawn({
        let client = client.clone();
        let request = client_v1::ConfirmRequest { reservation_id: "1".into(), ..Default::default() };
        async move { client.confirm(request).await }
    });
    let caller = &mut site.caller;
    eventually("it has begun", BOUND, async || caller.is("1", v1::ReservationState::Confirming).await).await;
    (lock, confirming)
}

#[tokio::test]
async fn a_request_that_is_too_large_disturbs_no_other() {
    let mut site = Site::start(&[]).await;
    let client = Client::new(site.channel().await);
    let (lock, confirming) = confirm_that_waits(&mut site, &client).await;
    let status = client.reserve(client_reserve("x".repeat(256 * 1024))).await.expect_err("too large");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("more than 262144"), "{status:?}");
    lock.rollback().await.expect("lets go");
    let confirmed = timeout(BOUND, confirming).await.expect("an answer").expect("no panic").expect("confirmed");
    assert_eq!(confirmed.state, v1::ReservationState::Confirmed as i32);
}

#[tokio::test]
async fn the_client_outlives_the_runtime_of_its_first_call() {
    let service = Instance::embedded().start();
    Caller::connect(service.address()).await.set("a", 5).await;
    let client = Client::new(channel(&service).await);
    let first = client.clone();
    let elsewhere = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(first.reserve(client_reserve("1")))
    });
    elsewhere.await.expect("no panic").expect("held");
    let answer = timeout(BOUND, client.reserve(client_reserve("2"))).await.expect("an answer");
    answer.expect("held over another stream");
}

/// The client has threads of its own, because this one waits for a process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_follows_its_server_through_a_restart() {
    let instance = Instance::embedded();
    let mut service = instance.start();
    Caller::connect(service.address()).await.set("a", 5).await;
    let mut proxy = Proxy::to(&service.address().to_string()).await;
    let channel =
        Endpoint::from_shared(format!("http://127.0.0.1:{}", proxy.port())).expect("an address").connect_lazy();
    let client = Client::new(channel);
    client.reserve(client_reserve("before")).await.expect("held");

    service.terminate();
    assert!(service.wait_exit().success());
    assert!(!service.log().contains("leaving them"), "the client lets it go: {}", service.log());
    let status = client.reserve(client_reserve("nobody")).await.expect_err("nobody is there");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");

    let service = instance.start();
    proxy.redirect_to(&service.address().to_string()).await;
    eventually("it is there again", BOUND, async || client.reserve(client_reserve("after")).await.is_ok()).await;
}

#[tokio::test]
async fn the_client_tells_its_callers_of_a_stream_that_broke() {
    let mut site = Site::start(&[]).await;
    let client = Client::new(site.channel().await);
    let (_lock, confirming) = confirm_that_waits(&mut site, &client).await;
    site.service.kill9();
    let status = timeout(BOUND, confirming).await.expect("an answer").expect("no panic").expect_err("no server");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[tokio::test]
async fn the_client_opens_another_session_when_its_own_was_sent_away_while_it_was_idle() {
    let service = Instance::embedded().arg("--sessions-max").arg("1").start();
    Caller::connect(service.address()).await.set("a", 5).await;
    let client = Client::new(channel(&service).await);
    for id in 0..2 {
        client.reserve(client_reserve(id)).await.expect("held");
        let mut other = Session::open(channel(&service).await).await;
        // The client may not have heard of it yet.
        client.reserve(client_reserve(format!("again {id}"))).await.expect("held over either session");
        eventually("it has another session", BOUND, async || {
            client.reserve(client_reserve(format!("again {id}"))).await.expect("held");
            let word = timeout(Duration::from_millis(1), other.answers.message()).await;
            matches!(word, Ok(Ok(Some(word))) if word.going_away)
        })
        .await;
    }
}
