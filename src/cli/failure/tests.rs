use std::collections::HashMap;
use std::time::Duration;

use tonic_types::{ErrorInfo, PreconditionFailure, PreconditionViolation, RequestInfo, ResourceInfo, RetryInfo};

use super::*;

fn status(code: Code, message: &str, reason: &str, further: Vec<ErrorDetail>) -> Status {
    let mut details: Vec<ErrorDetail> = vec![ErrorInfo::new(reason, "stockhold", HashMap::new()).into()];
    details.extend(further);
    details.push(RequestInfo::new("7f3a", "").into());
    Status::with_error_details_vec(code, message, details)
}

fn short(sku: &str, description: &str) -> PreconditionViolation {
    PreconditionViolation::new("INSUFFICIENT_STOCK", sku, description)
}

#[test]
fn errors_name_what_is_short() {
    let one = PreconditionFailure::new(vec![short("sku-a", "requested 5, available 3, held 2")]);
    let two = PreconditionFailure::new(vec![
        short("sku-a", "requested 5, available 3, held 2"),
        short("sku-b", "requested 1, available 0, held 9"),
    ]);
    let mut bad = tonic_types::BadRequest::with_violation("lines[1].quantity", "must be at least 1");
    bad.add_violation("ttl", "must be at most 1h");
    for (status, text) in [
        (
            status(Code::FailedPrecondition, "too little stock", "INSUFFICIENT_STOCK", vec![one.into()]),
            "error: INSUFFICIENT_STOCK: sku-a: requested 5, available 3, held 2\n  request id 7f3a",
        ),
        (
            status(Code::FailedPrecondition, "too little stock", "INSUFFICIENT_STOCK", vec![two.into()]),
            "error: INSUFFICIENT_STOCK\n  sku-a: requested 5, available 3, held 2\n  \
             sku-b: requested 1, available 0, held 9\n  request id 7f3a",
        ),
        (
            status(Code::InvalidArgument, "2 fields are malformed", "INVALID_FIELD", vec![bad.into()]),
            "error: INVALID_FIELD\n  lines[1].quantity: must be at least 1\n  \
             ttl: must be at most 1h\n  request id 7f3a",
        ),
        (
            status(
                Code::NotFound,
                "no such sku",
                "UNKNOWN_SKU",
                vec![ResourceInfo::new("sku", "sku-x", "", "was never set").into()],
            ),
            "error: UNKNOWN_SKU: sku-x: was never set\n  request id 7f3a",
        ),
        (
            status(
                Code::NotFound,
                "no reservation order-1 is known in this location",
                "RESERVATION_NOT_FOUND",
                vec![ResourceInfo::new("reservation", "order-1", "", "").into()],
            ),
            "error: RESERVATION_NOT_FOUND: no reservation order-1 is known in this location\n  request id 7f3a",
        ),
        (
            status(
                Code::Unavailable,
                "a store is away",
                "STORE_UNAVAILABLE",
                vec![RetryInfo::new(Some(Duration::from_millis(500))).into()],
            ),
            "error: STORE_UNAVAILABLE: a store is away\n  repeat after 500ms\n  request id 7f3a",
        ),
        (
            status(Code::Unavailable, "the outcome is not known yet", "OUTCOME_UNKNOWN", vec![]),
            "error: OUTCOME_UNKNOWN: the outcome is not known yet\n  request id 7f3a\n  \
             it may or may not have been done: repeat with the same command to be sure, nothing happens twice",
        ),
        (
            Status::cancelled("Timeout expired"),
            "error: CANCELLED: no answer in time\n  it may or may not have been done: repeat with the same command \
             to be sure, nothing happens twice",
        ),
        (
            Status::unavailable("connection reset"),
            "error: UNAVAILABLE: connection reset\n  it may or may not have been done: repeat with the same command \
             to be sure, nothing happens twice",
        ),
        (Status::unimplemented("no such method"), "error: UNIMPLEMENTED: no such method"),
    ] {
        assert_eq!(Failure::of_write(status, SAME_COMMAND).to_string(), text);
    }
}

#[test]
fn details_that_were_cut_off_are_counted() {
    let metadata = HashMap::from([("violation_count".to_owned(), "40".to_owned())]);
    let details: Vec<ErrorDetail> = vec![
        ErrorInfo::new("INSUFFICIENT_STOCK", "stockhold", metadata).into(),
        PreconditionFailure::new(vec![short("sku-a", "requested 1"), short("sku-b", "requested 2")]).into(),
    ];
    let text = Failure::of_read(Status::with_error_details_vec(Code::FailedPrecondition, "", details)).to_string();
    assert_eq!(text, "error: INSUFFICIENT_STOCK\n  sku-a: requested 1\n  sku-b: requested 2\n  and 38 more");
}

#[test]
fn only_a_write_of_unknown_outcome_says_how_to_repeat_it() {
    let unknown = || status(Code::DeadlineExceeded, "too late", "OUTCOME_UNKNOWN", vec![]);
    let cut = || Status::unknown("h2 protocol error: error reading a body from connection");
    let refused = || status(Code::AlreadyExists, "used", "REQUEST_ID_REUSED", vec![]);
    for (status, says) in [(unknown(), true), (cut(), true), (refused(), false)] {
        let text = Failure::of_write(status, "this").to_string();
        assert_eq!(text.contains("repeat with this to be sure"), says, "{text}");
    }
    for status in [unknown(), cut(), refused()] {
        let text = Failure::of_read(status).to_string();
        assert!(!text.contains("may have been done"), "{text}");
    }
}

#[test]
fn programs_get_every_field_of_an_error() {
    let short = PreconditionFailure::new(vec![short("sku-a", "requested 5, available 3, held 2")]);
    let details = |kind: &str| format!("type.googleapis.com/google.rpc.{kind}");
    for (failure, expected) in [
        (
            Failure::of_write(
                status(Code::FailedPrecondition, "too little", "INSUFFICIENT_STOCK", vec![short.into()]),
                "this",
            ),
            json!({
                "code": "FAILED_PRECONDITION",
                "reason": "INSUFFICIENT_STOCK",
                "message": "too little",
                "details": [
                    {"@type": details("ErrorInfo"), "reason": "INSUFFICIENT_STOCK", "domain": "stockhold"},
                    {"@type": details("PreconditionFailure"), "violations": [{
                        "type": "INSUFFICIENT_STOCK",
                        "subject": "sku-a",
                        "description": "requested 5, available 3, held 2",
                    }]},
                    {"@type": details("RequestInfo"), "requestId": "7f3a"},
                ],
                "requestId": "7f3a",
                "repeatWith": null,
            }),
        ),
        (
            Failure::of_write(Status::unavailable("connection reset"), "this"),
            json!({
                "code": "UNAVAILABLE",
                "reason": null,
                "message": "connection reset",
                "details": [],
                "requestId": null,
                "repeatWith": "this",
            }),
        ),
        (
            Failure::local("no service"),
            json!({
                "code": null,
                "reason": null,
                "message": "no service",
                "details": [],
                "requestId": null,
                "repeatWith": null,
            }),
        ),
    ] {
        let printed: Value = serde_json::from_str(&failure.to_json()).expect("it is JSON");
        assert_eq!(printed, json!({ "error": expected }));
    }
}
