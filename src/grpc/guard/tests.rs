mod read;

use std::pin::pin;
use std::time::Duration;

use http::HeaderValue;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::Notify;
use tonic_types::StatusExt;
use tower::ServiceExt;
use uuid::Uuid;

use super::*;
use crate::grpc::calls::{CallsConfig, ONE_STEP};
use crate::grpc::unsent::Unsent;

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(60);

/// Enough for every test that is not about it.
const CALL_BYTES_MAX: usize = 1 << 20;
const UNSENT_BYTES_MAX: usize = 1 << 20;

fn calls(concurrency_max: usize) -> Calls {
    calls_until(concurrency_max, LONG)
}

fn calls_until(concurrency_max: usize, deadline_max: Duration) -> Calls {
    Calls::new(&CallsConfig { concurrency_max, call_bytes_max: CALL_BYTES_MAX, deadline_max })
}

/// A request of several steps, without a body, with these headers, over a connection of its own.
fn request(headers: &[(&'static str, &str)]) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(Caller::alone());
    *request.uri_mut() = http::Uri::from_static("/stockhold.v1.ReservationService/Confirm");
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).expect(value));
    }
    request
}

/// A handler that begins, then waits until it is let go.
#[derive(Default)]
struct Handler {
    begun: Notify,
    go: Notify,
    ended: Notify,
}

impl Handler {
    fn behind(
        self: &Arc<Self>,
        calls: &Calls,
    ) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + use<> {
        let handler = self.clone();
        calls.layer(tower::service_fn(move |_: Request<Body>| {
            let handler = handler.clone();
            async move {
                handler.begun.notify_one();
                handler.go.notified().await;
                handler.ended.notify_one();
                Ok(Response::new(Body::empty()))
            }
        }))
    }
}

/// A handler that answers at once.
async fn answered(calls: &Calls, answer: fn() -> Response<Body>, request: Request<Body>) -> Response<Body> {
    let handler = tower::service_fn(move |_: Request<Body>| async move { Ok(answer()) });
    calls.layer(handler).oneshot(request).await.expect("infallible")
}

fn empty() -> Response<Body> {
    Response::new(Body::empty())
}

fn code_and_reason(response: &Response<Body>) -> (Code, String) {
    let status = Status::from_header_map(response.headers()).expect("a status");
    let request_id = status.get_details_request_info().expect("a request id").request_id;
    assert_eq!(response.headers()["x-request-id"], request_id);
    (status.code(), status.get_details_error_info().expect("a reason").reason)
}

#[tokio::test]
async fn a_caller_waits_no_longer_than_the_earlier_deadline_and_the_work_runs_on() {
    let short = calls_until(9, Duration::from_millis(20));
    for (calls, grpc_timeout) in [(calls(9), "20m"), (short.clone(), "60S"), (short, "nonsense")] {
        let handler = Arc::new(Handler::default());
        let response =
            handler.behind(&calls).oneshot(request(&[("grpc-timeout", grpc_timeout)])).await.expect("infallible");
        assert_eq!(code_and_reason(&response), (Code::DeadlineExceeded, "OUTCOME_UNKNOWN".into()));
        handler.go.notify_one();
        calls.finish().await;
        handler.ended.notified().await;
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_the_work_running() {
    let calls = calls(9);
    let handler = Arc::new(Handler::default());
    {
        let mut call = pin!(handler.behind(&calls).oneshot(request(&[])));
        tokio::select! {
            _ = &mut call => panic!("answered"),
            () = handler.begun.notified() => {}
        }
    }
    handler.go.notify_one();
    calls.finish().await;
    handler.ended.notified().await;
}

#[tokio::test]
async fn a_call_of_one_step_goes_with_its_caller() {
    let calls = calls(1);
    let handler = Arc::new(Handler::default());
    for path in ONE_STEP {
        let mut request = request(&[]);
        *request.uri_mut() = http::Uri::from_static(path);
        let mut call = Box::pin(handler.behind(&calls).oneshot(request));
        tokio::select! {
            _ = &mut call => panic!("answered"),
            () = handler.begun.notified() => {}
        }
        drop(call);
    }
    // Each of them had the only place.
    calls.finish().await;
}

#[tokio::test]
async fn calls_beyond_the_bound_are_refused_also_while_work_runs_on_without_its_caller() {
    let calls = calls(1);
    let handler = Arc::new(Handler::default());
    let first = tokio::spawn(handler.behind(&calls).oneshot(request(&[])));
    handler.begun.notified().await;
    for hang_up in [false, true] {
        if hang_up {
            first.abort();
        }
        let refused = answered(&calls, empty, request(&[])).await;
        assert_eq!(code_and_reason(&refused), (Code::ResourceExhausted, "OVERLOADED".into()));
    }

    let mut health = request(&[]);
    *health.uri_mut() = http::Uri::from_static("/grpc.health.v1.Health/Check");
    assert!(!answered(&calls, empty, health).await.headers().contains_key("grpc-status"), "health is exempt");

    handler.go.notify_one();
    calls.finish().await;
    assert!(
        !answered(&calls, empty, request(&[])).await.headers().contains_key("grpc-status"),
        "the place is free again"
    );
}

#[tokio::test]
async fn a_panic_is_an_internal_error_of_that_call_alone() {
    let calls = calls(1);
    for path in [ONE_STEP[0], "/stockhold.v1.ReservationService/Confirm"] {
        let mut request = request(&[]);
        *request.uri_mut() = http::Uri::from_static(path);
        let response = answered(&calls, || panic!("secret"), request).await;
        assert_eq!(code_and_reason(&response), (Code::Internal, "INTERNAL".into()));
        let status = Status::from_header_map(response.headers()).expect("a status");
        assert!(!status.message().contains("secret"));
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let long = "x".repeat(128);
    for good in ["a", "order-1/2", &long] {
        let response = answered(&calls(1), empty, request(&[("x-request-id", good)])).await;
        assert_eq!(response.headers()["x-request-id"], good);
    }
    let too_long = "x".repeat(129);
    for bad in ["", "a b", "a\tb", "é", &too_long] {
        let response = answered(&calls(1), empty, request(&[("x-request-id", bad)])).await;
        let id = response.headers()["x-request-id"].to_str().expect("text");
        assert_eq!(Uuid::parse_str(id).expect(id).get_version_num(), 7, "instead of {bad:?}");
    }
    let failed =
        answered(&calls(1), || Status::unimplemented("").into_http(), request(&[("x-request-id", "call-1")])).await;
    assert_eq!(code_and_reason(&failed), (Code::Unimplemented, "UNIMPLEMENTED".into()));
    assert_eq!(failed.headers()["x-request-id"], "call-1");
}

#[tokio::test(start_paused = true)]
async fn only_the_callers_own_deadline_ends_the_wait_for_a_reconcile() {
    for (path, grpc_timeout, in_time) in [
        ("/stockhold.v1.StockService/Reconcile", None, true),
        ("/stockhold.v1.StockService/Reconcile", Some("1M"), false),
        ("/stockhold.v1.StockService/ListStock", None, false),
    ] {
        let mut request = request(&[]);
        *request.uri_mut() = http::Uri::from_static(path);
        if let Some(timeout) = grpc_timeout {
            request.headers_mut().insert("grpc-timeout", HeaderValue::from_static(timeout));
        }
        let slow = tower::service_fn(|_: Request<Body>| async {
            tokio::time::sleep(2 * LONG).await;
            Ok(empty())
        });
        let response = calls(1).layer(slow).oneshot(request).await.expect("infallible");
        assert_eq!(!response.headers().contains_key("grpc-status"), in_time, "{path} {grpc_timeout:?}");
    }
}

#[tokio::test]
async fn while_too_much_waits_for_a_connection_no_call_begins_on_it() {
    let unsent = Unsent::new(UNSENT_BYTES_MAX);
    let [greedy, other] = [(); 2].map(|()| Caller::new(unsent.of_peer()));
    let asks = async |caller: &Arc<Caller>| {
        let mut request = request(&[]);
        request.extensions_mut().insert(caller.clone());
        answered(&calls(1), empty, request).await
    };
    let full = greedy.unsent.count(UNSENT_BYTES_MAX + 1);
    assert_eq!(code_and_reason(&asks(&greedy).await), (Code::ResourceExhausted, "OVERLOADED".into()));
    assert!(!asks(&other).await.headers().contains_key("grpc-status"));
    drop(full);
    assert!(!asks(&greedy).await.headers().contains_key("grpc-status"));
}

#[tokio::test(start_paused = true)]
async fn so_many_pages_are_made_at_a_time_until_they_are_encoded() {
    let calls = calls(100);
    let page = |path: &'static str| {
        let mut request = request(&[]);
        *request.uri_mut() = http::Uri::from_static(path);
        let body = tower::service_fn(|_: Request<Body>| async {
            let pieces =
                futures::stream::iter(["a", "page"].map(|part| Ok::<_, Status>(Frame::data(Bytes::from(part)))));
            Ok(Response::new(Body::new(StreamBody::new(pieces))))
        });
        tokio::time::timeout(LONG / 2, calls.layer(body).oneshot(request))
    };
    for path in ["/stockhold.v1.ReservationService/ListReservations", "/stockhold.v1.StockService/ListStock"] {
        let mut made = Vec::new();
        while let Ok(response) = page(path).await {
            made.push(response.expect("infallible").into_body());
        }
        assert_eq!(made.len(), 8, "{path}");
        page("/stockhold.v1.StockService/GetStock").await.expect("other calls need no turn").expect("infallible");
        made[0].frame().await.expect("a piece").expect("no error");
        page(path).await.expect("one was encoded").expect("infallible");
        drop(made);
    }
}
