//! The error table of the protocol (`reservation_service.proto`), in one place.
//!
//! A caller gets a code, a reason that a program can branch on, details that name what is wrong, and a message that
//! says what to do. Causes are not told to them. A cause travels as the source of the status to `access`, which logs
//! it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::{
    BadRequest, ErrorDetail, ErrorInfo, FieldViolation, PreconditionFailure, PreconditionViolation, RequestInfo,
    ResourceInfo, RetryInfo, StatusExt, pb,
};

use super::MESSAGE_BYTES_MAX;
use crate::domain::refusal::VersionMismatch;
use crate::domain::{self, Refusal, ReservationId, Shortage, Sku};
use crate::service::{Cause, Error};

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "stockhold";

/// Details travel in a header, in base64, and common clients refuse headers beyond 8 KiB. Violations that do not fit
/// are left out, and `violation_count` says how many there were.
const DETAILS_BYTES_MAX: usize = 3 * 1024;

/// How many skus or fields the message names; the details name more.
const NAMED_MAX: usize = 3;

/// A store that is away is not back at once.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// A queue that is full has moved on by then.
const LOAD_RETRY: Duration = Duration::from_millis(100);

/// What every outcome that is not known asks of the caller.
const REPEAT: &str = "repeat under the same id for the outcome";

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refused(refusal).into(),
            Error::Unavailable(cause) => {
                let message = format!("{} is away; nothing was done", store(&cause));
                Failure::new(Code::Unavailable, "STORE_UNAVAILABLE", message).retry(STORE_RETRY).caused_by(cause)
            }
            Error::OutcomeUnknown(cause) => {
                let message = format!("{} did not answer; {REPEAT}", store(&cause));
                Failure::new(Code::Unavailable, "OUTCOME_UNKNOWN", message).retry(STORE_RETRY).caused_by(cause)
            }
            Error::Overloaded => overloaded(),
            Error::Internal(cause) => internal().caused_by(cause),
        }
    }
}

fn store(cause: &Cause) -> &'static str {
    match cause {
        Cause::Holds(_) => "the holds' store",
        Cause::Ledger(_) => "the database",
        Cause::Broken(_) => "a store",
    }
}

fn refused(refusal: Refusal) -> Failure {
    use Code::{Aborted, AlreadyExists, FailedPrecondition, NotFound};
    match refusal {
        Refusal::InvalidFields(violations) => {
            let named = list(&violations, |violation| format!("{} {}", violation.field, violation.description));
            let violations =
                violations.into_iter().map(|violation| FieldViolation::new(violation.field, violation.description));
            Failure::new(Code::InvalidArgument, "INVALID_FIELD", named).bad_request(violations.collect())
        }
        Refusal::InsufficientStock(short) => {
            let named = list(&short, |short| format!("{} ({})", short.sku, shortage(short)));
            let message =
                format!("not enough stock: {named}; ask for less, or repeat later: holds that end free their units");
            Failure::new(FailedPrecondition, "INSUFFICIENT_STOCK", message)
                .about_shortage(&short)
                .preconditions(&short, |short| (&short.sku, shortage(short)))
        }
        Refusal::UnknownSkus(skus) => {
            let message =
                format!("no such sku in this location: {}; SetStock creates skus", list(&skus, Sku::to_string));
            let resources = skus.iter().map(|sku| ResourceInfo::new("sku", sku.as_str(), "", "not in this location"));
            Failure::new(NotFound, "UNKNOWN_SKU", message).resources(resources.collect())
        }
        Refusal::UnknownLocation(location) => {
            let message = format!("no such location: {location}; SetStock creates locations");
            let resource = ResourceInfo::new("location", location.as_str(), "", "no sku was ever created in it");
            Failure::new(NotFound, "UNKNOWN_LOCATION", message).about("location", &location).resources(vec![resource])
        }
        Refusal::RetiredSkus(skus) => {
            let message = format!("retired, open to no new hold: {}", list(&skus, Sku::to_string));
            Failure::new(FailedPrecondition, "SKU_RETIRED", message)
                .preconditions(&skus, |sku| (sku, "retired: open to no new hold".to_owned()))
        }
        Refusal::ReservationNotFound(id) => {
            let message = format!("no reservation {id} is known in this location");
            reservation(NotFound, "RESERVATION_NOT_FOUND", message, &id)
        }
        Refusal::ReservationIdReused(id) => {
            let message = format!("reservation id {id} was used with other lines; choose another id");
            reservation(AlreadyExists, "RESERVATION_ID_REUSED", message, &id)
        }
        Refusal::RequestIdReused(id) => {
            let message = format!("request id {id} was used with other content; choose another id");
            Failure::new(AlreadyExists, "REQUEST_ID_REUSED", message)
                .about("request_id", &id)
                .resources(vec![ResourceInfo::new("request", id.as_str(), "", "")])
        }
        Refusal::ConfirmMismatch(id) => {
            let message =
                format!("reservation {id} is being or was confirmed with other lines, or holds less than these");
            reservation(FailedPrecondition, "CONFIRM_MISMATCH", message, &id)
        }
        Refusal::Expired(id) => {
            let message = format!(
                "reservation {id} has expired; LATE_POLICY_REACQUIRE takes its stock again if it is still there"
            );
            reservation(FailedPrecondition, "RESERVATION_EXPIRED", message, &id)
        }
        Refusal::Cancelled(id) => {
            reservation(FailedPrecondition, "RESERVATION_CANCELLED", format!("reservation {id} was cancelled"), &id)
        }
        Refusal::Confirmed(id) => {
            reservation(FailedPrecondition, "RESERVATION_CONFIRMED", format!("reservation {id} was confirmed"), &id)
        }
        Refusal::Rejected(id, short) => {
            // The ledger knows no holds, so the number of held units is not told.
            let free = |short: &Shortage| format!("requested {}, available {}", short.requested, short.available);
            let mut message = format!("reservation {id} was rejected: its stock was gone");
            if !short.is_empty() {
                message += &format!(": {}", list(&short, |short| format!("{} ({})", short.sku, free(short))));
            }
            reservation(FailedPrecondition, "RESERVATION_REJECTED", message, &id)
                .preconditions(&short, |short| (&short.sku, free(short)))
        }
        Refusal::VersionMismatch(mismatches) => {
            let named = list(&mismatches, |mismatch| format!("{} ({})", mismatch.sku, versions(mismatch)));
            let message = format!("version differs: {named}; read again, then decide");
            Failure::new(Aborted, "VERSION_MISMATCH", message)
                .preconditions(&mismatches, |mismatch| (&mismatch.sku, versions(mismatch)))
        }
    }
}

fn reservation(code: Code, reason: &'static str, message: String, id: &ReservationId) -> Failure {
    let resource = ResourceInfo::new("reservation", id.as_str(), "", "");
    Failure::new(code, reason, message).about("reservation_id", id).resources(vec![resource])
}

fn shortage(short: &Shortage) -> String {
    format!("requested {}, available {}, held {}", short.requested, short.available, short.held)
}

fn versions(mismatch: &VersionMismatch) -> String {
    match (mismatch.expected, mismatch.actual) {
        (0, actual) => format!("expected not to exist, has version {actual}"),
        (expected, 0) => format!("expected version {expected}, does not exist"),
        (expected, actual) => format!("expected version {expected}, has {actual}"),
    }
}

/// The first few, and how many more there are.
fn list<T>(items: &[T], name: impl Fn(&T) -> String) -> String {
    let mut text = items.iter().take(NAMED_MAX).map(name).collect::<Vec<_>>().join(", ");
    if items.len() > NAMED_MAX {
        text += &format!(" and {} more", items.len() - NAMED_MAX);
    }
    text
}

/// Too many calls at once, or a full queue: nothing was done.
pub(super) fn overloaded() -> Status {
    let message = "too much load; nothing was done, repeat a little later";
    Failure::new(Code::ResourceExhausted, "OVERLOADED", message).retry(LOAD_RETRY).into()
}

/// The caller's deadline or the server's has passed.
pub(super) fn deadline_exceeded() -> Status {
    Failure::new(Code::DeadlineExceeded, "OUTCOME_UNKNOWN", format!("the deadline passed; {REPEAT}"))
        .retry(LOAD_RETRY)
        .into()
}

/// A bug; its cause is in the log.
pub(super) fn panicked() -> Status {
    internal().into()
}

fn internal() -> Failure {
    Failure::new(Code::Internal, "INTERNAL", "an error in the service; its log has the cause under this request id")
}

/// The bytes of a request are no message of this protocol.
pub(super) fn unreadable(why: &str) -> Status {
    malformed(format!("the request could not be read: {why}"))
}

/// A field that must be there is not.
pub(super) fn required(field: &str) -> Status {
    let violation = domain::FieldViolation { field: field.to_owned(), description: "is required".to_owned() };
    refused(Refusal::InvalidFields(vec![violation])).into()
}

/// The request has more bytes than any legal one.
pub(super) fn too_large() -> Status {
    malformed(format!("the request has more than {MESSAGE_BYTES_MAX} bytes"))
}

fn malformed(message: String) -> Status {
    let violation = FieldViolation::new("request", message.clone());
    Failure::new(Code::InvalidArgument, "INVALID_FIELD", message).bad_request(vec![violation]).into()
}

/// Adds the request id to an error. Errors that tonic makes by itself get the form of the table; they are about the
/// bytes of the request, because what handlers answer has a reason already.
pub(super) fn complete(status: &Status, request_id: &str) -> Status {
    let adopted = status.details().is_empty().then(|| match status.code() {
        Code::Unimplemented if status.message().is_empty() => unimplemented("there is no such method"),
        // The message has what the caller calls their encoding.
        Code::Unimplemented => unimplemented("the request is compressed; send it as it is"),
        Code::OutOfRange => too_large(),
        Code::Internal | Code::InvalidArgument => unreadable(status.message()),
        _ => panicked(),
    });
    let status = adopted.as_ref().unwrap_or(status);
    // Details are an encoded google.rpc.Status. Details that are appended to its bytes are read as further ones.
    let mut details = status.details().to_vec();
    let request = pb::RequestInfo { request_id: request_id.to_owned(), serving_data: String::new() };
    let request = Any { type_url: RequestInfo::TYPE_URL.to_owned(), value: request.encode_to_vec() };
    details.extend(pb::Status { details: vec![request], ..pb::Status::default() }.encode_to_vec());
    Status::with_details(status.code(), status.message(), details.into())
}

fn unimplemented(message: &str) -> Status {
    Failure::new(Code::Unimplemented, "UNIMPLEMENTED", message).into()
}

/// An error on its way to the caller.
struct Failure {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: HashMap<String, String>,
    details: Vec<ErrorDetail>,
}

impl Failure {
    fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), metadata: HashMap::new(), details: Vec::new() }
    }

    fn about(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// A single short sku is told in the metadata too, so that simple callers need no other details.
    fn about_shortage(self, short: &[Shortage]) -> Self {
        let [short] = short else { return self };
        self.about("sku", &short.sku)
            .about("requested", short.requested)
            .about("available", short.available)
            .about("held", short.held)
    }

    fn retry(mut self, delay: Duration) -> Self {
        self.details.push(RetryInfo::new(Some(delay)).into());
        self
    }

    fn bad_request(mut self, violations: Vec<FieldViolation>) -> Self {
        let violations = self.fitting(violations, |violation| violation.field.len() + violation.description.len());
        self.details.push(BadRequest::new(violations).into());
        self
    }

    fn preconditions<T>(mut self, items: &[T], describe: impl Fn(&T) -> (&Sku, String)) -> Self {
        if items.is_empty() {
            return self;
        }
        let violation = |item| {
            let (sku, description) = describe(item);
            PreconditionViolation::new(self.reason, sku.as_str(), description)
        };
        let violations = items.iter().map(violation).collect();
        let violations = self.fitting(violations, |violation| {
            violation.r#type.len() + violation.subject.len() + violation.description.len()
        });
        self.details.push(PreconditionFailure::new(violations).into());
        self
    }

    fn resources(mut self, resources: Vec<ResourceInfo>) -> Self {
        let resources = self.fitting(resources, |resource| {
            ResourceInfo::TYPE_URL.len()
                + resource.resource_type.len()
                + resource.resource_name.len()
                + resource.description.len()
        });
        self.details.extend(resources.into_iter().map(ErrorDetail::from));
        self
    }

    /// Leaves out what would not fit into a header.
    fn fitting<T>(&mut self, mut items: Vec<T>, text_bytes: impl Fn(&T) -> usize) -> Vec<T> {
        /// Tags and lengths of the fields of one item.
        const FRAME_BYTES: usize = 12;
        let mut bytes = 0;
        let fits = |item: &T| {
            bytes += text_bytes(item) + FRAME_BYTES;
            bytes <= DETAILS_BYTES_MAX
        };
        let count = items.len();
        let fitting = items.iter().map(fits).take_while(|fits| *fits).count();
        if fitting < count {
            items.truncate(fitting);
            self.metadata.insert("violation_count".to_owned(), count.to_string());
        }
        items
    }

    fn caused_by(self, cause: Cause) -> Status {
        let mut status = Status::from(self);
        status.set_source(Arc::new(cause));
        status
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut details = vec![ErrorInfo::new(failure.reason, DOMAIN, failure.metadata).into()];
        details.extend(failure.details);
        Status::with_error_details_vec(failure.code, failure.message, details)
    }
}

#[cfg(test)]
mod tests;
