//! Why a command was not done: a few lines for a person, or JSON for a program.

use std::fmt;

use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt};

/// How to repeat a command that takes effect once, however often it is sent.
pub(super) const SAME_COMMAND: &str = "the same command";

/// Why a command was not done.
#[derive(Debug)]
pub(super) struct Failure {
    /// What went wrong; lines after the first are indented details.
    text: String,
    /// The error of the call; `None` if no call was made.
    status: Option<Status>,
    /// How to repeat the command so that it takes effect once; `None` unless it may have taken effect already.
    repeat_with: Option<String>,
}

impl Failure {
    /// The command failed before its call was made.
    pub(super) fn local(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: None, repeat_with: None }
    }

    /// A call that changes nothing has failed.
    pub(super) fn of_read(status: Status) -> Self {
        Self { text: text(&status), status: Some(status), repeat_with: None }
    }

    /// A call that may have changed something has failed. `repeat_with` completes "repeat with": what takes effect
    /// once.
    pub(super) fn of_write(status: Status, repeat_with: &str) -> Self {
        let repeat_with = outcome_is_unknown(&status).then(|| repeat_with.to_owned());
        Self { repeat_with, ..Self::of_read(status) }
    }

    /// The error for programs. Fields without a value are null, so that a script finds every field.
    pub(super) fn to_json(&self) -> String {
        let status = self.status.as_ref();
        let known = status.map(Status::get_error_details);
        let error = json!({
            "code": status.map(|status| name(status.code())),
            "reason": known.as_ref().and_then(|details| Some(&details.error_info()?.reason)),
            "message": status.map_or(self.text.as_str(), Status::message),
            "details": status.and_then(details).unwrap_or_else(|| json!([])),
            "requestId": known.as_ref().and_then(|details| Some(&details.request_info()?.request_id)),
            "repeatWith": self.repeat_with,
        });
        format!("{:#}", json!({ "error": error }))
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

/// True if the call may have taken effect.
fn outcome_is_unknown(status: &Status) -> bool {
    match reason(&status.get_error_details_vec()) {
        Some(reason) => ["OUTCOME_UNKNOWN", "INTERNAL"].contains(&reason),
        // The service did not write this error. The connection broke, before the call was carried out or after it.
        None => status.code() != Code::Unimplemented,
    }
}

fn reason(details: &[ErrorDetail]) -> Option<&str> {
    details.iter().find_map(|detail| match detail {
        ErrorDetail::ErrorInfo(info) => Some(info.reason.as_str()),
        _ => None,
    })
}

/// An error of a call for people: its reason, what its details name, when to repeat, and the request id.
fn text(status: &Status) -> String {
    let details = status.get_error_details_vec();
    let reason = reason(&details);
    let timed_out = matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded);

    let mut text = reason.map_or_else(|| name(status.code()), str::to_owned);
    // The message tells the same as the details, but names only the first few skus or fields.
    let named: Vec<String> = details.iter().flat_map(named).collect();
    match named.as_slice() {
        [] if timed_out && reason.is_none() => text.push_str(": no answer in time"),
        [] => text.push_str(&format!(": {}", status.message())),
        [only] => text.push_str(&format!(": {only}")),
        several => several.iter().for_each(|line| text.push_str(&format!("\n  {line}"))),
    }
    for detail in &details {
        match detail {
            // Details have to fit into a header, so the service cuts them off and says how many there were.
            ErrorDetail::ErrorInfo(info) => {
                let count = info.metadata.get("violation_count").and_then(|count| count.parse::<usize>().ok());
                if let Some(more) = count.and_then(|count| count.checked_sub(named.len())).filter(|more| *more > 0) {
                    text.push_str(&format!("\n  and {more} more"));
                }
            }
            ErrorDetail::RetryInfo(info) => {
                if let Some(delay) = info.retry_delay {
                    text.push_str(&format!("\n  repeat after {}", humantime::format_duration(delay)));
                }
            }
            ErrorDetail::RequestInfo(info) => text.push_str(&format!("\n  request id {}", info.request_id)),
            _ => {}
        }
    }
    text
}

/// What a detail says of the skus, reservations or fields that it names. A detail that only names says no more than
/// the message does.
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

/// The name of a code as gRPC writes it: `FAILED_PRECONDITION`.
fn name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// The details as JSON. `None` if they hold a type that this build does not know.
fn details(status: &Status) -> Option<Value> {
    let types = DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).ok()?;
    let status = DynamicMessage::decode(types.get_message_by_name("google.rpc.Status")?, status.details()).ok()?;
    serde_json::to_value(&status).ok()?.get("details").cloned()
}

#[cfg(test)]
mod tests;
