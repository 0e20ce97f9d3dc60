//! Why a command was not done, in a few lines that a person can act on.

use std::error::Error;
use std::fmt;

use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt};

/// Why a command was not done.
#[derive(Debug)]
pub(super) struct Failure {
    /// What went wrong; lines after the first are indented details.
    text: String,
    /// How to repeat the command so that it takes effect once, where it may have taken effect already.
    repeat_with: Option<String>,
}

impl Failure {
    /// A failure found on this side of the connection.
    pub(super) fn local(text: impl Into<String>) -> Self {
        Self { text: text.into(), repeat_with: None }
    }

    /// Nobody answers at the address.
    pub(super) fn unreachable(addr: &http::Uri, cause: &dyn Error) -> Self {
        let mut root = cause;
        while let Some(source) = root.source() {
            root = source;
        }
        Self::local(format!(
            "no stockhold service at {}: {root}\n  start one with `stockhold serve`, or name another with --addr or STOCKHOLD_ADDR",
            addr.to_string().trim_end_matches('/')
        ))
    }

    /// Names what makes it safe to repeat a command whose outcome is unknown, where that is not the same command.
    pub(super) fn repeat_with(self, command: String) -> Self {
        Self { repeat_with: self.repeat_with.map(|_| command), ..self }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let details = status.get_error_details_vec();
        let info = details.iter().find_map(|detail| match detail {
            ErrorDetail::ErrorInfo(info) => Some(info),
            _ => None,
        });
        let reason = info.map(|info| info.reason.as_str());
        let timed_out = matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded);
        let outcome_unknown = match reason {
            Some(reason) => ["OUTCOME_UNKNOWN", "INTERNAL"].contains(&reason),
            // It was not the service that spoke: the connection broke, before the call or after it was carried out.
            None => status.code() != Code::Unimplemented,
        };

        let mut text = reason.map_or_else(|| format!("{:?}", status.code()), str::to_owned);
        // What the details name, the message tells in other words, and only the first few of them.
        let named: Vec<String> = details.iter().flat_map(named).collect();
        match named.as_slice() {
            [] if timed_out && reason.is_none() => text.push_str(": no answer in time"),
            [] => text.push_str(&format!(": {}", status.message())),
            [only] => text.push_str(&format!(": {only}")),
            several => several.iter().for_each(|line| text.push_str(&format!("\n  {line}"))),
        }
        // Details have to fit into a header; the service tells how many there were.
        let count = info.and_then(|info| info.metadata.get("violation_count")?.parse::<usize>().ok());
        if let Some(more) = count.and_then(|count| count.checked_sub(named.len())).filter(|more| *more > 0) {
            text.push_str(&format!("\n  and {more} more"));
        }
        for detail in &details {
            match detail {
                ErrorDetail::RetryInfo(info) => {
                    if let Some(delay) = info.retry_delay {
                        text.push_str(&format!("\n  repeat after {}", humantime::format_duration(delay)));
                    }
                }
                ErrorDetail::RequestInfo(info) => text.push_str(&format!("\n  request id {}", info.request_id)),
                _ => {}
            }
        }
        Self { text, repeat_with: outcome_unknown.then(|| "the same command".into()) }
    }
}

/// What a detail names and what it says of it: a sku, a reservation, a field. A name of which nothing is said stands in
/// the message too.
fn named(detail: &ErrorDetail) -> Vec<String> {
    let line = |name: &str, description: &str| format!("{name}: {description}");
    match detail {
        ErrorDetail::PreconditionFailure(failure) => {
            failure.violations.iter().map(|v| line(&v.subject, &v.description)).collect()
        }
        ErrorDetail::BadRequest(bad) => bad.field_violations.iter().map(|v| line(&v.field, &v.description)).collect(),
        ErrorDetail::ResourceInfo(info) if !info.description.is_empty() => {
            vec![line(&info.resource_name, &info.description)]
        }
        _ => Vec::new(),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.text)?;
        if let Some(how) = &self.repeat_with {
            write!(f, "\n  it may or may not have been done: repeat with {how} to be sure, nothing happens twice")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
                "error: OUTCOME_UNKNOWN: the outcome is not known yet\n  request id 7f3a\n  it may or may not have been done: \
                 repeat with the same command to be sure, nothing happens twice",
            ),
            (
                Status::cancelled("Timeout expired"),
                "error: Cancelled: no answer in time\n  it may or may not have been done: repeat with the same command to be sure, \
                 nothing happens twice",
            ),
            (
                Status::unavailable("connection reset"),
                "error: Unavailable: connection reset\n  it may or may not have been done: repeat with the same command to be sure, \
                 nothing happens twice",
            ),
            (Status::unimplemented("no such method"), "error: Unimplemented: no such method"),
        ] {
            assert_eq!(Failure::from(status).to_string(), text);
        }
    }

    #[test]
    fn details_that_were_cut_off_are_counted() {
        let metadata = HashMap::from([("violation_count".to_owned(), "40".to_owned())]);
        let details: Vec<ErrorDetail> = vec![
            ErrorInfo::new("INSUFFICIENT_STOCK", "stockhold", metadata).into(),
            PreconditionFailure::new(vec![short("sku-a", "requested 1"), short("sku-b", "requested 2")]).into(),
        ];
        let text = Failure::from(Status::with_error_details_vec(Code::FailedPrecondition, "", details)).to_string();
        assert_eq!(text, "error: INSUFFICIENT_STOCK\n  sku-a: requested 1\n  sku-b: requested 2\n  and 38 more");
    }

    #[test]
    fn what_makes_it_safe_to_repeat_is_told_only_where_it_matters() {
        let unknown = || status(Code::DeadlineExceeded, "too late", "OUTCOME_UNKNOWN", vec![]);
        assert!(
            Failure::from(unknown()).repeat_with("this".into()).to_string().contains("repeat with this to be sure")
        );
        let cut = || Status::unknown("h2 protocol error: error reading a body from connection");
        assert!(Failure::from(cut()).repeat_with("this".into()).to_string().contains("repeat with this to be sure"));
        let refused = status(Code::AlreadyExists, "used", "REQUEST_ID_REUSED", vec![]);
        assert!(!Failure::from(refused).repeat_with("this".into()).to_string().contains("repeat with"));
    }

    #[test]
    fn a_service_that_is_not_there_is_named_and_the_way_out_too() {
        let addr = http::Uri::from_static("http://127.0.0.1:1");
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "Connection refused");
        let text = Failure::unreachable(&addr, &refused).to_string();
        assert!(text.starts_with("error: no stockhold service at http://127.0.0.1:1: Connection refused"), "{text}");
        assert!(text.contains("stockhold serve"), "{text}");
    }
}
