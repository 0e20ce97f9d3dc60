use std::future::pending;

use futures::FutureExt;
use http_body_util::Full;
use tonic::Code;

use super::*;

/// Answers a stream once its request has arrived.
async fn answered(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    request.into_body().collect().await.expect("a body");
    Ok(Response::new(Body::new(Full::from("x"))))
}

/// Answers with whatever the request has.
async fn echoed(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(request.into_body()))
}

/// A request that never ends.
fn endless() -> Request<Body> {
    Request::new(Body::new(Full::from("x").with_trailers(pending())))
}

fn code(response: &Response<Body>) -> Code {
    Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
}

#[tokio::test]
async fn each_kind_has_its_bounds() {
    for (kind, peer_max, max) in [
        (Kind::Check, CHECKS_PEER_MAX, usize::MAX),
        (Kind::Watch, WATCHES_PEER_MAX, WATCHES_MAX),
        (Kind::Reflection, REFLECTIONS_MAX / 2, REFLECTIONS_MAX),
    ] {
        let exempt = Exempt::new();
        let serve = |caller| {
            let response = exempt.serve(kind, caller, Request::new(Body::empty()), answered).now_or_never();
            Some(response.expect("nothing is waited for")).filter(|response| code(response) == Code::Ok)
        };
        let mut all = Vec::new();
        for _ in 0..1000 {
            let caller = Caller::alone();
            let open: Vec<_> = (0..2 * peer_max).filter_map(|_| serve(caller.clone())).collect();
            assert!(open.len() <= peer_max, "{kind:?}: one connection has {}", open.len());
            assert!(!all.is_empty() || open.len() == peer_max, "{kind:?}: the first has {}", open.len());
            all.extend(open);
        }
        assert!(all.len() <= max, "{kind:?}: {} together", all.len());
        assert_eq!(serve(Caller::alone()).is_some(), matches!(kind, Kind::Check), "{kind:?}: all are taken");
        drop(all);
        assert!(serve(Caller::alone()).is_some(), "{kind:?}: they are given back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_must_arrive_in_time() {
    for kind in [Kind::Check, Kind::Watch, Kind::Reflection] {
        let late = Exempt::new().serve(kind, Caller::alone(), endless(), answered);
        let late = timeout(2 * READ_MAX, late).await.expect("it is given up");
        assert_eq!(code(&late), Code::DeadlineExceeded, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_reflection_is_read_from_for_a_while_only() {
    for (kind, ends) in [(Kind::Reflection, true), (Kind::Watch, false)] {
        let response = Exempt::new().serve(kind, Caller::alone(), endless(), echoed).await;
        let read = timeout(2 * REFLECTION_LASTS_MAX, response.into_body().collect());
        assert_eq!(read.map(|read| read.is_ok()).await, ends, "{kind:?}");
    }
}

#[tokio::test]
async fn a_watch_only_waits() {
    for (kind, waits) in [(Kind::Check, false), (Kind::Watch, true), (Kind::Reflection, false)] {
        let caller = Caller::alone();
        let _stream = caller.activity.stream();
        let response = Exempt::new().serve(kind, caller.clone(), Request::new(Body::empty()), answered).await;
        assert_eq!(caller.activity.at_rest().is_some(), waits, "{kind:?}");
        drop(response);
        assert!(caller.activity.at_rest().is_none(), "{kind:?}: the stream is still open");
    }
}
