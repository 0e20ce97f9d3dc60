//! The id of a call, which names it in the logs of both sides. Callers know it as their request id.

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

use super::{access, status};

/// The metadata that carries it, both ways.
const CALL_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest that is taken from a caller, in bytes.
const CALL_ID_BYTES_MAX: usize = 128;

/// The id of one call: the caller's, if they sent one that is fit to be logged, else a new one.
#[derive(Clone, Debug)]
pub(super) struct CallId(HeaderValue);

impl CallId {
    /// From the headers of a request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let fit = |id: &&HeaderValue| {
            (1..=CALL_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        let mut id = headers.get(CALL_ID).filter(fit).cloned().unwrap_or_else(new);
        // It is no secret. Marked as one, it is not kept in HPACK's tables, where the next call would not find its own.
        id.set_sensitive(true);
        Self(id)
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// Puts it into an answer.
    pub(super) fn name(&self, response: &mut Response<Body>) {
        response.headers_mut().insert(CALL_ID, self.0.clone());
    }

    /// The error of a call.
    pub(super) fn refuse_whole(&self, failure: &Status) -> Status {
        let mut status = status::complete(failure, self.as_str());
        access::failed(&status, failure, None);
        // tonic tells callers who compress what they may send instead.
        let mut headers = failure.metadata().clone().into_headers();
        headers.insert(CALL_ID, self.0.clone());
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
        access::failed(&status, failure, Some(part));
        status
    }
}

/// Sortable by time: the ids of one moment begin alike.
fn new() -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let text: &str = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"))
}
