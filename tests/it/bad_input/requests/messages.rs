//! The messages of requests. Most fields are such as callers send; some are at the edge of what is allowed, or beyond.

use std::fmt::Debug;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use stockhold::grpc::v1;

use super::Tokens;
use crate::support::holds::START_MS;

pub(super) fn reserve() -> impl Strategy<Value = v1::ReserveRequest> {
    (locations(), reservation_ids(), lines(), option::weighted(0.3, spans()))
        .prop_map(|(location, reservation_id, lines, ttl)| v1::ReserveRequest { location, reservation_id, lines, ttl })
}

pub(super) fn confirm() -> impl Strategy<Value = v1::ConfirmRequest> {
    let lines = prop_oneof![3 => Just(Vec::new()), 1 => lines()];
    (locations(), reservation_ids(), lines, late_policies()).prop_map(
        |(location, reservation_id, lines, late_policy)| v1::ConfirmRequest {
            location,
            reservation_id,
            lines,
            late_policy,
        },
    )
}

pub(super) fn reserve_many() -> impl Strategy<Value = v1::ReserveManyRequest> {
    vec(reserve(), 0..4).prop_map(|requests| v1::ReserveManyRequest { requests })
}

pub(super) fn confirm_many() -> impl Strategy<Value = v1::ConfirmManyRequest> {
    vec(confirm(), 0..4).prop_map(|requests| v1::ConfirmManyRequest { requests })
}

pub(super) fn cancel_many() -> impl Strategy<Value = v1::CancelManyRequest> {
    vec(cancel(), 0..4).prop_map(|requests| v1::CancelManyRequest { requests })
}

pub(super) fn session() -> impl Strategy<Value = v1::SessionRequest> {
    use v1::session_request::Request;
    let request = prop_oneof![
        reserve().prop_map(Request::Reserve),
        confirm().prop_map(Request::Confirm),
        cancel().prop_map(Request::Cancel),
        extend().prop_map(Request::Extend),
        get_reservation().prop_map(Request::GetReservation),
    ];
    (any::<u64>(), option::weighted(0.9, request)).prop_map(|(id, request)| v1::SessionRequest { id, request })
}

pub(super) fn extend() -> impl Strategy<Value = v1::ExtendRequest> {
    (locations(), reservation_ids(), option::weighted(0.9, times()), late_policies()).prop_map(
        |(location, reservation_id, expire_time, late_policy)| v1::ExtendRequest {
            location,
            reservation_id,
            expire_time,
            late_policy,
        },
    )
}

pub(super) fn cancel() -> impl Strategy<Value = v1::CancelRequest> {
    // Mostly others than all the rest, or nothing would last.
    let ids = prop_oneof![1 => reservation_ids(), 3 => "c[0-9]{1,2}"];
    (locations(), ids).prop_map(|(location, reservation_id)| v1::CancelRequest { location, reservation_id })
}

pub(super) fn get_reservation() -> impl Strategy<Value = v1::GetReservationRequest> {
    (locations(), reservation_ids())
        .prop_map(|(location, reservation_id)| v1::GetReservationRequest { location, reservation_id })
}

pub(super) fn list_reservations(tokens: &Tokens) -> impl Strategy<Value = v1::ListReservationsRequest> + use<> {
    let sku = prop_oneof![Just(String::new()), skus()];
    (locations(), sku, page_sizes(), page_tokens(tokens)).prop_map(|(location, sku, page_size, page_token)| {
        v1::ListReservationsRequest { location, sku, page_size, page_token }
    })
}

pub(super) fn list_stock(tokens: &Tokens) -> impl Strategy<Value = v1::ListStockRequest> + use<> {
    (locations(), page_sizes(), page_tokens(tokens))
        .prop_map(|(location, page_size, page_token)| v1::ListStockRequest { location, page_size, page_token })
}

pub(super) fn set_stock() -> impl Strategy<Value = v1::SetStockRequest> {
    let version = prop_oneof![
        6 => Just(None),
        1 => select(&[0, 1, -1, i64::MAX, i64::MIN][..]).prop_map(Some),
    ];
    let floor = prop_oneof![3 => Just(0), 1 => units()];
    let item = (skus(), units(), floor, version, prop::bool::weighted(0.1)).prop_map(
        |(sku, on_hand, floor, expected_version, retired)| v1::SetStockItem {
            sku,
            on_hand,
            floor,
            expected_version,
            retired,
        },
    );
    (locations(), request_ids(), many(item)).prop_map(|(location, request_id, items)| v1::SetStockRequest {
        location,
        request_id,
        items,
    })
}

pub(super) fn adjust_stock() -> impl Strategy<Value = v1::AdjustStockRequest> {
    let change = (skus(), units()).prop_map(|(sku, delta)| v1::StockChange { sku, delta });
    let reason = prop_oneof![6 => Just("receipt".to_owned()), 1 => nasty()];
    (locations(), request_ids(), reason, many(change)).prop_map(|(location, request_id, reason, changes)| {
        v1::AdjustStockRequest { location, request_id, reason, changes }
    })
}

pub(super) fn get_stock() -> impl Strategy<Value = v1::GetStockRequest> {
    (locations(), many(skus())).prop_map(|(location, skus)| v1::GetStockRequest { location, skus })
}

// Fields.

pub(super) fn locations() -> BoxedStrategy<String> {
    names(&["l"], &["", "default", "L"])
}

fn skus() -> BoxedStrategy<String> {
    names(&["a", "b", "huge"], &["scarce", "going", "A", "nothing"])
}

fn reservation_ids() -> BoxedStrategy<String> {
    let prepared =
        &["held", "confirmed", "cancelled", "confirming", "expired", "expired and gone", "took it", "rejected"];
    prop_oneof![1 => names(prepared, &["nobody"]), 2 => "n[0-9]{1,2}"].boxed()
}

fn request_ids() -> BoxedStrategy<String> {
    prop_oneof![1 => names(&["r1", "r2"], &[]), 4 => "r[0-9]{5}"].boxed()
}

/// Mostly usual ones. It is boxed because messages that are made of many of them would not fit on a stack.
fn names(usual: &[&'static str], rare: &[&'static str]) -> BoxedStrategy<String> {
    let (usual, known) = (select(usual.to_vec()), select([usual, rare].concat()));
    prop_oneof![20 => usual.prop_map(str::to_owned), 3 => known.prop_map(str::to_owned), 1 => nasty()].boxed()
}

fn nasty() -> BoxedStrategy<String> {
    let known = [
        "",
        " ",
        "a ",
        " a",
        "\u{a0}a",
        "a\u{3000}",
        "\u{2028}",
        "a b",
        "a\tb",
        "a\nb",
        "\r\n",
        "\0",
        "a\0b",
        "\u{7f}",
        "\u{85}",
        "{}",
        "a{b",
        "}",
        "{a}:stock",
        "\u{301}",
        "e\u{301}",
        "é",
        "\u{202e}a",
        "\u{200b}",
        "\u{feff}",
        "\u{fffd}",
        "'",
        "\"",
        "\\",
        "`",
        "%",
        "%s",
        "%00",
        "_",
        "*",
        "?",
        "[a",
        "' OR ''='",
        "a;--",
        "${a}",
        "-1",
        "0 0",
        "1 5 0 0",
        "NaN",
        "nil",
        "\u{10ffff}",
    ];
    let length = select(vec![
        ("x", 128),
        ("x", 129),
        ("é", 64),
        ("é", 65),
        ("𝄞", 32),
        ("𝄞", 33),
        ("\u{301}", 64),
        ("x", 20_000),
    ]);
    prop_oneof![
        6 => select(known.to_vec()).prop_map(str::to_owned),
        2 => length.prop_map(|(text, count)| text.repeat(count)),
        1 => any::<String>(),
    ]
    .boxed()
}

fn lines() -> impl Strategy<Value = Vec<v1::Line>> {
    let quantity = prop_oneof![15 => 1_u32..4, 1 => select(&[0, 1_000_000_000, 1_000_000_001, u32::MAX][..])];
    let line = (skus(), quantity).prop_map(|(sku, quantity)| v1::Line { sku, quantity });
    let numbered = select(vec![(100, 100), (101, 101), (1000, 100), (1000, 1000), (1001, 1), (3000, 3000)]).prop_map(
        |(count, distinct)| {
            (0..count).map(|number| v1::Line { sku: format!("s{}", number % distinct), quantity: 1 }).collect()
        },
    );
    prop_oneof![20 => vec(line, 1..4), 1 => Just(Vec::new()), 1 => numbered]
}

/// Few, or none, or at the edge of how many there may be.
fn many<T: Clone + Debug + 'static>(one: impl Strategy<Value = T> + 'static) -> BoxedStrategy<Vec<T>> {
    let count = prop_oneof![12 => Just(None), 1 => select(vec![0, 100, 101, 1000, 1001]).prop_map(Some)];
    let repeated = |(few, count): (Vec<T>, Option<usize>)| {
        let count = count.unwrap_or(few.len());
        few.into_iter().cycle().take(count).collect()
    };
    (vec(one, 1..4), count).prop_map(repeated).boxed()
}

fn units() -> impl Strategy<Value = i64> {
    let max = 100_000_000_000_000;
    prop_oneof![9 => 1_i64..1000, 1 => select(vec![0, -1, max, -max, max + 1, -max - 1, i64::MAX, i64::MIN])]
}

fn late_policies() -> impl Strategy<Value = i32> {
    prop_oneof![19 => 0..3, 1 => any::<i32>()]
}

fn page_sizes() -> impl Strategy<Value = i32> {
    prop_oneof![6 => select(&[0, 1, 2, 1000][..]), 1 => select(&[-1, 1001, i32::MIN, i32::MAX][..])]
}

fn nanos() -> impl Strategy<Value = i32> {
    prop_oneof![9 => Just(0), 1 => select(&[1, -1, 999_999_999, 1_000_000_000, i32::MIN, i32::MAX][..])]
}

fn spans() -> impl Strategy<Value = prost_types::Duration> {
    let seconds = select(vec![0, 1, 60, 60, 3600, 3601, -1, 315_576_000_001, i64::MIN, i64::MAX]);
    (seconds, nanos()).prop_map(|(seconds, nanos)| prost_types::Duration { seconds, nanos })
}

/// Some that a reservation may last to, and beyond any calendar.
fn times() -> impl Strategy<Value = prost_types::Timestamp> {
    let start = START_MS as i64 / 1000;
    let nasty = [start, 0, -1, -62_135_596_800, 253_402_300_799, 253_402_300_800, i64::MIN, i64::MAX];
    let seconds = prop_oneof![3 => start + 100..start + 4000, 1 => Just(start + 90_000), 1 => select(nasty.to_vec())];
    (seconds, nanos()).prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos })
}

/// Real ones, those of another list, tampered ones, and forged ones.
fn page_tokens(tokens: &Tokens) -> impl Strategy<Value = String> + use<> {
    let real = select(vec![tokens.of_stock.clone(), tokens.of_reservations.clone()]);
    // Not the highest bit, so that it stays text.
    let tampered = (real.clone(), any::<Index>(), 0_u8..7).prop_map(|(token, at, bit)| {
        let mut bytes = token.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        String::from_utf8(bytes).expect("ASCII")
    });
    let forged = prop_oneof![
        (
            select(&["held", "confirming", "other", ""][..]),
            select(&["0", "18446744073709551615", "18446744073709551616", "-1", "1e9", ""][..]),
            nasty()
        )
            .prop_map(|(index, score, id)| format!("{index}\t{score}\t{id}")),
        nasty(),
    ];
    prop_oneof![
        2 => Just(String::new()),
        2 => real,
        2 => tampered,
        2 => forged.prop_map(|place| URL_SAFE_NO_PAD.encode(place)),
        1 => nasty(),
    ]
}
