use tonic_types::StatusExt;

use super::*;
use crate::domain::refusal::FieldViolation as Field;
use crate::domain::{Location, RequestId};
use crate::holds::HoldsError;
use crate::ledger::LedgerError;

fn sku(text: &str) -> Sku {
    Sku::parse(text).expect(text)
}

fn id() -> ReservationId {
    ReservationId::parse("order-1").expect("an id")
}

fn request_id() -> RequestId {
    RequestId::parse("count-1").expect("an id")
}

fn short(name: &str) -> Shortage {
    Shortage { sku: sku(name), requested: 5, available: 3, held: 2 }
}

fn invalid(field: &str) -> Field {
    Field { field: field.into(), description: "is required".into() }
}

fn holds_away() -> Cause {
    Cause::Holds(HoldsError::Unavailable("secret-host refused".into()))
}

/// Every error of the use cases, with what its caller is told: code, reason, and a part of the message.
fn table() -> Vec<(Error, Code, &'static str, &'static str)> {
    use Code::{AlreadyExists, FailedPrecondition, NotFound, Unavailable};
    let versions = |expected, actual| vec![VersionMismatch { sku: sku("a"), expected, actual }];
    let refusals = vec![
        (
            Refusal::InvalidFields(vec![invalid("lines"), invalid("ttl")]),
            Code::InvalidArgument,
            "INVALID_FIELD",
            "lines is required, ttl is required",
        ),
        (
            Refusal::InsufficientStock(vec![short("a"), short("b")]),
            FailedPrecondition,
            "INSUFFICIENT_STOCK",
            "not enough stock: a (requested 5, available 3, held 2), b (requested 5, available 3, held 2); ask",
        ),
        (Refusal::UnknownSkus(vec![sku("a"), sku("b")]), NotFound, "UNKNOWN_SKU", "location: a, b;"),
        (
            Refusal::UnknownLocation(Location::parse("l").expect("a location")),
            NotFound,
            "UNKNOWN_LOCATION",
            "location: l;",
        ),
        (Refusal::RetiredSkus(vec![sku("a")]), FailedPrecondition, "SKU_RETIRED", "hold: a"),
        (Refusal::ReservationNotFound(id()), NotFound, "RESERVATION_NOT_FOUND", "order-1"),
        (Refusal::ReservationIdReused(id()), AlreadyExists, "RESERVATION_ID_REUSED", "choose another id"),
        (Refusal::RequestIdReused(request_id()), AlreadyExists, "REQUEST_ID_REUSED", "count-1"),
        (Refusal::ConfirmMismatch(id()), FailedPrecondition, "CONFIRM_MISMATCH", "other lines"),
        (Refusal::Expired(id()), FailedPrecondition, "RESERVATION_EXPIRED", "LATE_POLICY_REACQUIRE"),
        (Refusal::Cancelled(id()), FailedPrecondition, "RESERVATION_CANCELLED", "was cancelled"),
        (Refusal::Confirmed(id()), FailedPrecondition, "RESERVATION_CONFIRMED", "was confirmed"),
        (Refusal::Rejected(id(), vec![]), FailedPrecondition, "RESERVATION_REJECTED", "its stock was gone"),
        (
            Refusal::Rejected(id(), vec![short("a")]),
            FailedPrecondition,
            "RESERVATION_REJECTED",
            "gone: a (requested 5, available 3)",
        ),
        (Refusal::VersionMismatch(versions(3, 5)), Code::Aborted, "VERSION_MISMATCH", "a (expected version 3, has 5)"),
        (
            Refusal::VersionMismatch(versions(0, 5)),
            Code::Aborted,
            "VERSION_MISMATCH",
            "expected not to exist, has version 5",
        ),
        (
            Refusal::VersionMismatch(versions(3, 0)),
            Code::Aborted,
            "VERSION_MISMATCH",
            "expected version 3, does not exist",
        ),
    ];
    let mut table: Vec<_> = refusals
        .into_iter()
        .map(|(refusal, code, reason, text)| (Error::Refused(refusal), code, reason, text))
        .collect();
    table.extend([
        (
            Error::Unavailable(holds_away()),
            Unavailable,
            "STORE_UNAVAILABLE",
            "the holds' store is away; nothing was done",
        ),
        (
            Error::OutcomeUnknown(Cause::Ledger(LedgerError::Overloaded)),
            Unavailable,
            "OUTCOME_UNKNOWN",
            "the database did not answer; repeat under the same id",
        ),
        (Error::Overloaded, Code::ResourceExhausted, "OVERLOADED", "nothing was done"),
        (Error::Internal(Cause::Broken("secret".into())), Code::Internal, "INTERNAL", "this request id"),
    ]);
    table
}

#[test]
fn every_error_has_its_row() {
    for (error, code, reason, text) in table() {
        let what = format!("{error:?}");
        let status = Status::from(error);
        let info = status.get_details_error_info().expect(&what);
        assert_eq!((status.code(), &*info.reason, &*info.domain), (code, reason, "stockhold"), "{what}");
        assert!(status.message().contains(text), "{what}: {}", status.message());
    }
}

#[test]
fn every_reason_is_documented_where_callers_read() {
    let protos = concat!(
        include_str!("../../../proto/stockhold/v1/reservation_service.proto"),
        include_str!("../../../proto/stockhold/v1/stock_service.proto")
    );
    for (_, code, reason, _) in table() {
        let documented = protos.lines().any(|line| {
            let words: Vec<_> = line.split_whitespace().take(3).collect();
            words.len() == 3
                && words[1].replace('_', "").eq_ignore_ascii_case(&format!("{code:?}"))
                && words[2] == reason
        });
        assert!(documented, "{code:?} {reason}");
    }
}

#[test]
fn causes_are_for_the_log_alone() {
    for cause in [holds_away(), Cause::Broken("secret".into())] {
        for error in [Error::Unavailable(cause), Error::Internal(holds_away())] {
            let status = Status::from(error);
            assert!(!status.message().contains("secret"), "{status:?}");
            assert!(std::error::Error::source(&status).expect("a cause").to_string().contains("secret"));
        }
    }
}

#[test]
fn details_name_what_is_wrong() {
    let fields = Status::from(Error::Refused(Refusal::InvalidFields(vec![invalid("lines[1].sku")])));
    let violations = fields.get_details_bad_request().expect("a bad request").field_violations;
    assert_eq!((&*violations[0].field, &*violations[0].description), ("lines[1].sku", "is required"));

    let short_one = Status::from(Error::Refused(Refusal::InsufficientStock(vec![short("a")])));
    let violation = &short_one.get_details_precondition_failure().expect("a violation").violations[0];
    assert_eq!((&*violation.r#type, &*violation.subject), ("INSUFFICIENT_STOCK", "a"));
    assert_eq!(violation.description, "requested 5, available 3, held 2");
    assert_eq!(short_one.get_details_error_info().expect("an info").metadata["available"], "3");

    let unknown = Status::from(Error::Refused(Refusal::UnknownSkus(vec![sku("a"), sku("b")])));
    let names = unknown.get_error_details_vec().into_iter().filter_map(|detail| match detail {
        ErrorDetail::ResourceInfo(resource) => Some((resource.resource_type, resource.resource_name)),
        _ => None,
    });
    assert_eq!(names.collect::<Vec<_>>(), [("sku".into(), "a".into()), ("sku".into(), "b".into())]);

    for (error, delay) in [(Error::Overloaded, LOAD_RETRY), (Error::Unavailable(holds_away()), STORE_RETRY)] {
        assert_eq!(Status::from(error).get_details_retry_info().expect("a delay").retry_delay, Some(delay));
    }
}

#[test]
fn the_largest_refusals_fit_into_headers() {
    let long = |index: usize| sku(&format!("é{index:0>126}"));
    let refusals = [
        Refusal::InsufficientStock(
            (0..100)
                .map(|index| Shortage { sku: long(index), requested: 1_000_000_000, available: 0, held: 1 << 46 })
                .collect(),
        ),
        Refusal::UnknownSkus((0..1000).map(long).collect()),
        Refusal::InvalidFields((0..1000).map(|index| invalid(&format!("lines[{index}].quantity"))).collect()),
        Refusal::RetiredSkus((0..100).map(long).collect()),
    ];
    for refusal in refusals {
        let status = complete(&Error::Refused(refusal).into(), &"x".repeat(128));
        let info = status.get_details_error_info().expect("an info");
        assert!(["100", "1000"].contains(&&*info.metadata["violation_count"]), "{info:?}");
        assert!(status.message().contains(" more"), "{}", status.message());
        let response = status.into_http::<()>();
        let bytes: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes < 8 * 1024, "{bytes}");
    }
}

#[test]
fn what_tonic_refuses_by_itself_gets_the_form_of_the_table() {
    for (status, code, reason) in [
        (Status::unimplemented(""), Code::Unimplemented, "UNIMPLEMENTED"),
        (Status::out_of_range("too large"), Code::InvalidArgument, "INVALID_FIELD"),
        (Status::internal("Missing request message."), Code::InvalidArgument, "INVALID_FIELD"),
        (Status::unknown("?"), Code::Internal, "INTERNAL"),
        (Error::Overloaded.into(), Code::ResourceExhausted, "OVERLOADED"),
    ] {
        let status = complete(&status, "call-1");
        let info = status.get_details_error_info().expect("an info");
        assert_eq!((status.code(), &*info.reason), (code, reason));
        assert_eq!(status.get_details_request_info().expect("an id").request_id, "call-1");
    }
}
