//! A request that is no call of gRPC is refused before any of its body is read, with a status of HTTP: its sender would
//! not understand a status of gRPC. `docs/PROTOCOL-HTTP2.md` of gRPC asks for 415 where the content type is another
//! one, and knows no method but POST.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;

/// The content type of gRPC; behind it a `+` and the encoding of messages may stand.
const GRPC: &str = "application/grpc";

/// The answer to a request that is no call.
pub(super) fn refusal<T>(request: &Request<T>) -> Option<Response<Body>> {
    let status = if request.method() != Method::POST {
        StatusCode::METHOD_NOT_ALLOWED
    } else if !is_grpc(request.headers()) {
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    } else {
        return None;
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    Some(response)
}

/// Messages are protobuf, which is what gRPC takes for granted; parameters are ignored.
fn is_grpc(headers: &HeaderMap) -> bool {
    let text = headers.get(CONTENT_TYPE).and_then(|text| text.to_str().ok()).unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim_end();
    kind.len() >= GRPC.len()
        && kind.is_char_boundary(GRPC.len())
        && kind[..GRPC.len()].eq_ignore_ascii_case(GRPC)
        && ["", "+proto"].contains(&&kind[GRPC.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_protobuf_over_grpc_over_post_is_a_call() {
        for (method, kind, status) in [
            ("POST", Some("application/grpc"), None),
            ("POST", Some("application/grpc+proto"), None),
            ("POST", Some("Application/gRPC; charset=utf-8"), None),
            ("POST", Some("application/grpc+json"), Some(415)),
            ("POST", Some("application/grpc-web"), Some(415)),
            ("POST", Some("application/grpcé"), Some(415)),
            ("POST", Some("application/json"), Some(415)),
            ("POST", Some(""), Some(415)),
            ("POST", None, Some(415)),
            ("GET", Some("application/grpc"), Some(405)),
            ("HEAD", None, Some(405)),
            ("CONNECT", None, Some(405)),
        ] {
            let mut request = Request::builder().method(method).body(()).expect("a request");
            if let Some(kind) = kind {
                let kind = HeaderValue::from_bytes(kind.as_bytes()).expect("a header");
                request.headers_mut().insert(CONTENT_TYPE, kind);
            }
            let refused = refusal(&request).map(|response| response.status().as_u16());
            assert_eq!(refused, status, "{method} {kind:?}");
        }
    }
}
