//! The name of a call in the logs of both sides, and the one place where failures are logged.

use std::error::Error;

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use uuid::Uuid;

use super::status;
use crate::telemetry::chain;

/// The metadata that carries it, both ways.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest that is taken from a caller, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The id of one call: the caller's, if he sent one that is fit to be logged, else a new one.
#[derive(Clone, Debug)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// From the headers of a request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let fit = |id: &&HeaderValue| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        let mut id = headers.get(REQUEST_ID).filter(fit).cloned().unwrap_or_else(new);
        // It is no secret, but so both sides save the trouble to remember it for the next call, which has another one.
        id.set_sensitive(true);
        Self(id)
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// Names an answer.
    pub(super) fn name(&self, response: &mut Response<Body>) {
        response.headers_mut().insert(REQUEST_ID, self.0.clone());
    }

    /// The error of a call.
    pub(super) fn refuse_whole(&self, failure: &Status) -> Status {
        let mut status = status::complete(failure, self.as_str());
        log(&status, failure, None);
        let headers = HeaderMap::from_iter([(REQUEST_ID, self.0.clone())]);
        *status.metadata_mut() = MetadataMap::from_headers(headers);
        status
    }

    /// The answer to a call that failed.
    pub(super) fn refuse(&self, failure: &Status) -> Response<Body> {
        self.refuse_whole(failure).into_http()
    }

    /// The error of one of the requests that this call carries.
    pub(super) fn refuse_part(&self, part: u64, failure: &Status) -> Status {
        let status = status::complete(failure, &format!("{}/{part}", self.as_str()));
        log(&status, failure, Some(part));
        status
    }
}

/// Each failure is logged here, in the span of its call, and nowhere else.
fn log(status: &Status, failure: &Status, part: Option<u64>) {
    let (code, answer) = (status.code(), status.message());
    let cause = failure.source().map(chain);
    match code {
        Code::Internal => tracing::error!(part, ?code, answer, cause, "failed"),
        Code::Unavailable => tracing::warn!(part, ?code, answer, cause, "failed"),
        _ => tracing::debug!(part, ?code, answer, cause, "refused"),
    }
}

/// Sortable by time, so that the log of a moment is found by it.
fn new() -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let text: &str = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"))
}
