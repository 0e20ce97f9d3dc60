//! Malformed requests, over a real socket and real servers: each is answered clearly and changes nothing.

use stockhold::grpc::v1;
use tonic::{Code, Request, Status};

use crate::support::client::{refusal, to_lines, violations};
use crate::support::site::{RawCodec, Site, is};

async fn send_raw(site: &Site, rpc: &'static str, bytes: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut grpc = tonic::client::Grpc::new(site.channel().await);
    grpc.ready().await.expect("ready");
    let path = format!("/stockhold.v1.{rpc}").parse().expect("a path");
    grpc.unary(Request::new(bytes), path, RawCodec).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn malformed_input_is_answered_clearly_and_changes_nothing() {
    let mut site = Site::start(&[]).await;
    site.caller.set("a", 5).await;
    let long = "x".repeat(129);
    let id = |reservation_id: &str| v1::ReserveRequest {
        reservation_id: reservation_id.into(),
        lines: to_lines(&[("a", 1)]),
        ..Default::default()
    };
    let with_lines = |lines| v1::ReserveRequest { lines, ..id("1") };
    let with_ttl =
        |seconds, nanos| v1::ReserveRequest { ttl: Some(prost_types::Duration { seconds, nanos }), ..id("1") };
    let reserves: Vec<(&str, v1::ReserveRequest, &str)> = vec![
        ("empty", v1::ReserveRequest::default(), "reservation_id"),
        ("no lines", with_lines(vec![]), "lines"),
        ("a long id", id(&long), "reservation_id"),
        ("an id with a line break", id("a\nb"), "reservation_id"),
        ("an id with white space at its end", id("a "), "reservation_id"),
        ("a location with braces", v1::ReserveRequest { location: "{x}".into(), ..id("1") }, "location"),
        ("a long sku", with_lines(to_lines(&[(&long, 1)])), "lines[0].sku"),
        ("no units", with_lines(to_lines(&[("a", 0)])), "lines[0].quantity"),
        ("too many units", with_lines(to_lines(&[("a", u32::MAX)])), "lines[0].quantity"),
        ("too many units together", with_lines(to_lines(&[("a", 1_000_000_000), ("a", 1)])), "lines[1].quantity"),
        ("10,000 lines", with_lines(vec![v1::Line { sku: "a".into(), quantity: 1 }; 10_000]), "lines"),
        ("101 skus", with_lines((0..101).map(|i| v1::Line { sku: format!("s{i}"), quantity: 1 }).collect()), "lines"),
        ("a ttl below the bound", with_ttl(0, 0), "ttl"),
        ("a ttl beyond the bound", with_ttl(3601, 0), "ttl"),
        ("a negative ttl", with_ttl(-1, 0), "ttl"),
        ("an endless ttl", with_ttl(i64::MAX, 999_999_999), "ttl"),
        ("a ttl without end", with_ttl(i64::MIN, i32::MIN), "ttl"),
    ];
    for (what, request, field) in reserves {
        let answer = site.caller.reservations.reserve(request).await;
        assert!(violations(&answer).contains_key(field), "{what}: {answer:?}");
        assert_eq!(refusal(answer), is(Code::InvalidArgument, "INVALID_FIELD"), "{what}");
    }

    let confirm = v1::ConfirmRequest { reservation_id: "1".into(), late_policy: 99, ..Default::default() };
    let answer = site.caller.reservations.confirm(confirm).await;
    assert!(violations(&answer).contains_key("late_policy"), "{answer:?}");
    for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (-1, 0), (0, -1), (253_402_300_800, 0)] {
        let expire_time = Some(prost_types::Timestamp { seconds, nanos });
        let extend = v1::ExtendRequest { reservation_id: "1".into(), expire_time, ..Default::default() };
        let answer = site.caller.reservations.extend(extend).await;
        assert!(violations(&answer).contains_key("expire_time"), "{seconds} {nanos}: {answer:?}");
    }
    for (on_hand, floor, field) in [
        (i64::MAX, 0, "items[0].on_hand"),
        (i64::MIN, 0, "items[0].on_hand"),
        (0, 100_000_000_000_001, "items[0].floor"),
    ] {
        let item = v1::SetStockItem { sku: "a".into(), on_hand, floor, ..Default::default() };
        let set = v1::SetStockRequest { request_id: "1".into(), items: vec![item], ..Default::default() };
        let answer = site.caller.stock.set_stock(set).await;
        assert!(violations(&answer).contains_key(field), "{answer:?}");
    }
    let twice = vec![v1::SetStockItem { sku: "a".into(), ..Default::default() }; 2];
    let set = v1::SetStockRequest { request_id: "1".into(), items: twice, ..Default::default() };
    let answer = site.caller.stock.set_stock(set).await;
    assert!(violations(&answer).contains_key("items[1].sku"), "{answer:?}");
    for delta in [0, i64::MIN, i64::MAX] {
        let changes = vec![v1::StockChange { sku: "a".into(), delta }];
        let adjust =
            v1::AdjustStockRequest { request_id: "1".into(), reason: "receipt".into(), changes, ..Default::default() };
        let answer = site.caller.stock.adjust_stock(adjust).await;
        assert!(violations(&answer).contains_key("changes[0].delta"), "{answer:?}");
    }
    for (page_size, page_token, field) in
        [(-1, "", "page_size"), (1001, "", "page_size"), (1, "nonsense", "page_token")]
    {
        let list = v1::ListStockRequest { page_size, page_token: page_token.into(), ..Default::default() };
        let answer = site.caller.stock.list_stock(list).await;
        assert!(violations(&answer).contains_key(field), "{answer:?}");
        let list = v1::ListReservationsRequest { page_size, page_token: page_token.into(), ..Default::default() };
        let answer = site.caller.reservations.list_reservations(list).await;
        assert!(violations(&answer).contains_key(field), "{answer:?}");
    }

    let invalid_utf8 = vec![0x12, 2, 0xff, 0xfe];
    let raws = [
        ("invalid UTF-8", invalid_utf8),
        ("no protobuf at all", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("a field that ends early", vec![0x12, 100, b'a']),
        ("a megabyte", vec![0; 1 << 20]),
    ];
    for (what, bytes) in raws {
        for rpc in ["ReservationService/Reserve", "StockService/SetStock"] {
            let answer = send_raw(&site, rpc, bytes.clone()).await;
            assert_eq!(refusal(answer), is(Code::InvalidArgument, "INVALID_FIELD"), "{what} to {rpc}");
        }
    }
    assert_eq!(refusal(send_raw(&site, "ReservationService/Steal", vec![]).await).0, Code::Unimplemented);

    assert_eq!(site.caller.counts("a").await, (5, 0, 5), "nothing was changed");
    assert_eq!(refusal(site.caller.state("1").await), is(Code::NotFound, "RESERVATION_NOT_FOUND"));
    site.end().await;
}
