//! How a request is read, and what it may take until then.

use super::*;

fn frame_of(data: Vec<u8>) -> Result<Frame<Bytes>, Infallible> {
    Ok(Frame::data(data.into()))
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let calls = calls(1);
    for (body_bytes, refused) in [(MESSAGE_BYTES_MAX + FRAME_BYTES, false), (MESSAGE_BYTES_MAX + FRAME_BYTES + 1, true)]
    {
        for part_bytes in [body_bytes, 1000] {
            let mut body = vec![0; body_bytes];
            body[1..FRAME_BYTES]
                .copy_from_slice(&u32::try_from(body_bytes - FRAME_BYTES).expect("short").to_be_bytes());
            let parts: Vec<_> = body.chunks(part_bytes).map(|part| frame_of(part.to_vec())).collect();
            let body = StreamBody::new(futures::stream::iter(parts));
            let response = answered(&calls, empty, request(&[]).map(|_| Body::new(body))).await;
            assert_eq!(response.headers().contains_key("grpc-status"), refused, "{body_bytes} by {part_bytes}");
            if refused {
                assert_eq!(code_and_reason(&response), (Code::InvalidArgument, "INVALID_FIELD".into()));
            }
        }
    }
}

#[tokio::test]
async fn the_parts_of_a_request_are_put_together() {
    let echo = tower::service_fn(|request: Request<Body>| async move { Ok(Response::new(request.into_body())) });
    for parts in [&["alone"] as &[_], &["a", "b"], &["", "a", "", "bc", "d"], &[]] {
        let frames: Vec<_> = parts.iter().map(|part| frame_of(part.as_bytes().to_vec())).collect();
        let body = Body::new(StreamBody::new(futures::stream::iter(frames)));
        let response = calls(1).layer(echo).oneshot(request(&[]).map(|_| body)).await.expect("infallible");
        let read = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(read, parts.concat(), "{parts:?}");
    }
}

/// A request of which this many bytes arrive, and no more.
fn unread(caller: Arc<Caller>, bytes: usize) -> Request<Body> {
    let endless = Full::from(vec![0; bytes]).with_trailers(std::future::pending());
    let mut request = request(&[]).map(|_| Body::new(endless));
    request.extensions_mut().insert(caller);
    request
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_given_up_long_before_the_deadline() {
    let begun = tokio::time::Instant::now();
    let response = answered(&calls(1), empty, unread(Caller::alone(), 4)).await;
    assert_eq!(code_and_reason(&response), (Code::DeadlineExceeded, "OUTCOME_UNKNOWN".into()));
    assert!((READ_MAX..LONG).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_not_read_yet_are_in_the_way_of_no_other() {
    let calls = calls(1);
    let caller = Caller::alone();
    let unread: Vec<_> = (0..100).map(|_| tokio::spawn(wait(calls.clone(), unread(caller.clone(), 4)))).collect();
    tokio::task::yield_now().await;
    assert!(!answered(&calls, empty, request(&[])).await.headers().contains_key("grpc-status"));
    for unread in unread {
        let response = unread.await.expect("does not panic");
        assert_eq!(code_and_reason(&response), (Code::DeadlineExceeded, "OUTCOME_UNKNOWN".into()));
    }
}

async fn wait(calls: Calls, request: Request<Body>) -> Response<Body> {
    answered(&calls, empty, request).await
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_requests_is_bounded_and_a_connection_has_a_share() {
    let calls = calls(CALL_BYTES_MAX);
    let caller = Caller::alone();
    for (bytes, count, over) in [(MESSAGE_BYTES_MAX, 2, 1), (4, CALL_BYTES_MAX / 4096 / 2, 10)] {
        let all: Vec<_> =
            (0..count + over).map(|_| tokio::spawn(wait(calls.clone(), unread(caller.clone(), bytes)))).collect();
        tokio::task::yield_now().await;
        // Another connection has its own share.
        assert!(!answered(&calls, empty, request(&[])).await.headers().contains_key("grpc-status"));
        let mut refused = 0;
        for one in all {
            let (code, reason) = code_and_reason(&one.await.expect("does not panic"));
            refused += usize::from((code, reason) == (Code::ResourceExhausted, "OVERLOADED".into()));
        }
        assert_eq!(refused, over, "{bytes}");
    }
}

#[tokio::test]
async fn the_headers_of_a_request_are_not_kept() {
    let kept = tower::service_fn(|request: Request<Body>| async move {
        let kept: Vec<_> = request.headers().keys().map(http::HeaderName::as_str).collect();
        Ok(Response::new(Body::new(Full::from(kept.join(" ")))))
    });
    for path in [SESSION, ONE_STEP[0], "/grpc.health.v1.Health/Watch", "/grpc.reflection.v1.ServerReflection/Info"] {
        let mut request = request(&[("grpc-encoding", "identity"), ("authorization", "secret"), ("x-request-id", "1")]);
        *request.uri_mut() = http::Uri::from_static(path);
        let response = calls(1).layer(kept).oneshot(request).await.expect("infallible");
        assert_eq!(response.headers().get("x-request-id").is_some(), Kind::of(path).is_none(), "{path}");
        let read = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(read, "grpc-encoding", "{path}");
    }
}
