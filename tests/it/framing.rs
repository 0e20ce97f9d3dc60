//! How a request is framed: what is not exactly one message is refused, and says nothing about the next one on its
//! connection. Headers that a call does not need change nothing.

use bytes::Bytes;
use http::{HeaderMap, Request};
use prost::Message;
use stockhold::grpc::http2::ConnectionsConfig;
use stockhold::grpc::v1;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::http2::{BOUND, Http2};
use crate::support::served::{FOR_EVER, ServedHere};

const RESERVE: &str = "/stockhold.v1.ReservationService/Reserve";

/// What is sent, its headers, its body, and the answer.
type Row<'a> = (&'a str, &'a [(&'static str, &'a str)], Vec<u8>, (Code, &'a str));

/// A well-formed request. It is refused, because there is no such sku.
fn message() -> Vec<u8> {
    let line = v1::Line { sku: "none".into(), quantity: 1 };
    v1::ReserveRequest { location: "l".into(), reservation_id: "1".into(), lines: vec![line], ttl: None }
        .encode_to_vec()
}

/// A message behind its flag and a length of the test's own choice.
fn framed(flag: u8, length: usize, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).expect("32 bits").to_be_bytes();
    [&[flag], &length[..], message].concat()
}

/// Unknown fields that begin groups within groups.
fn nested() -> Vec<u8> {
    let begin = 15 << 3 | 3;
    vec![begin; 100_000]
}

/// Sends one call. Answers its headers, or its trailers where it has some.
async fn ask(client: &mut Http2, headers: &[(&'static str, &str)], body: Vec<u8>) -> HeaderMap {
    let mut request = Request::post(format!("http://localhost{RESERVE}")).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut calls = client.calls.clone().ready().await.expect("the connection is usable");
    let request = request.body(()).expect("a request");
    let (answer, mut sending) = calls.send_request(request, body.is_empty()).expect("is sent");
    let mut rest = Bytes::from(body);
    while !rest.is_empty() {
        let part = rest.split_to(rest.len().min(10_000));
        // The service may have refused it already.
        let _ = sending.send_data(part, rest.is_empty());
    }
    let answer = timeout(BOUND, answer).await.expect("is not late").expect("an answer");
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    assert!(answer.body().is_end_stream(), "an error is nothing but headers");
    answer.headers().clone()
}

#[tokio::test]
async fn what_is_not_one_message_is_refused() {
    let one = message();
    let len = one.len();
    let mut it = ServedHere::start(ConnectionsConfig::new(10, FOR_EVER, FOR_EVER), 1 << 30).await;
    let mut client = Http2::connect(it.address).await;
    let well = (Code::NotFound, "UNKNOWN_SKU");
    let unreadable = (Code::InvalidArgument, "INVALID_FIELD");
    let compressed = (Code::Unimplemented, "UNIMPLEMENTED");
    let gzip = &[("grpc-encoding", "gzip")][..];
    let two = [framed(0, len, &one), framed(0, len, &one)].concat();
    let rows: Vec<Row<'_>> = vec![
        ("one message", &[], framed(0, len, &one), well),
        ("nothing", &[], vec![], unreadable),
        ("half of the frame", &[], vec![0; 3], unreadable),
        ("a length beyond the end", &[], framed(0, len + 1, &one), unreadable),
        ("a length before the end", &[], framed(0, len - 1, &one), unreadable),
        ("the longest length", &[], framed(0, u32::MAX as usize, &one), unreadable),
        ("a message behind the message", &[], two, unreadable),
        ("a byte behind the message", &[], [framed(0, len, &one), vec![0]].concat(), unreadable),
        ("no frame", &[], one.clone(), unreadable),
        ("a flag that says that it is compressed", &[], framed(1, len, &one), unreadable),
        ("a flag that means nothing", &[], framed(2, len, &one), unreadable),
        ("messages within messages", &[], framed(0, 100_000, &nested()), unreadable),
        ("a compressed message", gzip, framed(1, len, &one), compressed),
        ("a message that is not compressed, and could be", gzip, framed(0, len, &one), compressed),
        ("an encoding that is none", &[("grpc-encoding", "identity")], framed(0, len, &one), well),
        ("a time that is none", &[("grpc-timeout", "soon")], framed(0, len, &one), well),
        ("metadata that is no base64", &[("trace-bin", "%%%")], framed(0, len, &one), well),
        ("another user agent", &[("te", "trailers"), ("user-agent", "grpc-go/1")], framed(0, len, &one), well),
    ];
    for (what, headers, body, expected) in rows {
        let answer = ask(&mut client, headers, body).await;
        let status = Status::from_header_map(&answer).expect("a status");
        let reason = status.get_details_error_info().expect("a reason").reason;
        assert_eq!((status.code(), reason.as_str()), expected, "{what}: {status:?}");
        assert_eq!(answer["x-request-id"], status.get_details_request_info().expect("a request id").request_id);
        // A client that compresses learns what it may send instead.
        let accepted = answer.get("grpc-accept-encoding").map(http::HeaderValue::as_bytes);
        assert_eq!(accepted, (expected == compressed).then_some(&b"identity"[..]), "{what}");
    }
    it.stop_health().await;
    drop(client);
    it.end().await;
}
