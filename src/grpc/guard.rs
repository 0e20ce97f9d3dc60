//! What happens around every call, whatever it does. Promises:
//! - A call begins, and counts as running, only when its request has been read whole. A caller who leaves before that
//!   ends it.
//! - The headers of a request are not kept while it is read. They may take more memory than its message.
//! - Every answer carries a call id, and every error has the form of the table in `status`.
//!
//! A Session is a stream and no call; the requests that it carries are calls. Health and reflection have bounds of
//! their own (`exempt`), because they touch no store and must answer under load.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument;

use super::access;
use super::call_id::CallId;
use super::calls::{Calls, Parent, READ_MAX};
use super::exempt::{Exempt, Kind};
use super::peer::Caller;
use super::permits::Permit;
use super::{MESSAGE_BYTES_MAX, status};

/// What stands before a message: a flag and the length, in bytes.
const FRAME_BYTES: usize = 5;

/// The stream that carries calls. Each of its requests goes through [`Calls::run_part`].
const SESSION: &str = "/stockhold.v1.ReservationService/Session";

/// Which compression a message may have.
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// What the names of calls end with that carry calls in one message.
const MANY: &str = "Many";

impl<S> Layer<S> for Calls {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, calls: self.clone(), exempt: Arc::new(Exempt::new()) }
    }
}

/// A service behind [`Calls`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    calls: Calls,
    exempt: Arc<Exempt>,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        // `poll_ready` was asked of this instance, not of its clone.
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let headers = keep_encoding(&mut request);
        let path = request.uri().path();
        let Some(caller) = request.extensions().get::<Arc<Caller>>().cloned() else {
            // Each connection inserts it into each of its requests.
            return std::future::ready(Ok(status::panicked().into_http())).boxed();
        };
        if let Some(kind) = Kind::of(path) {
            return self.exempt.serve(kind, caller, request, move |request| inner.call(request)).map(Ok).boxed();
        }
        let id = CallId::of(&headers);
        let span = access::span(path, id.as_str());
        if path == SESSION {
            request.extensions_mut().insert(Parent::stream(id.clone(), caller));
            return answer(async move { inner.call(request).await }, id).instrument(span).map(Ok).boxed();
        }
        // The time runs from here.
        let wait_max = self.calls.wait_max(path, &headers);
        if path.ends_with(MANY) {
            request.extensions_mut().insert(Parent::call(id.clone(), caller.clone(), wait_max));
        }
        let answer = guard(inner, self.calls.clone(), request, caller, id.clone());
        timeout(wait_max, answer)
            .map(|answer| answer.unwrap_or_else(|_| Err(status::deadline_exceeded())))
            .map(move |answer| Ok(answer.unwrap_or_else(|failure| id.refuse(&failure))))
            .instrument(span)
            .boxed()
    }
}

/// Takes the headers of a request, all but the one that tonic reads.
fn keep_encoding(request: &mut Request<Body>) -> HeaderMap {
    let headers = std::mem::take(request.headers_mut());
    if let Some(encoding) = headers.get(ENCODING) {
        request.headers_mut().insert(ENCODING, encoding.clone());
    }
    headers
}

async fn guard<S>(
    mut inner: S,
    calls: Calls,
    mut request: Request<Body>,
    caller: Arc<Caller>,
    id: CallId,
) -> Result<Response<Body>, Status>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let mut bytes = calls.take_bytes(caller.peer, 0)?;
    let message = timeout(READ_MAX, read(request.body_mut(), &mut bytes)).await;
    let message = message.unwrap_or_else(|_| Err(status::deadline_exceeded()))?;
    *request.body_mut() = Body::new(Full::new(message));
    let uri = request.uri().clone();
    let (running, turn) = calls.begin(uri.path(), &caller).await?;
    // This only finds the handler, which runs when it is polled.
    let work = answer(inner.call(request), id);
    let response = calls.to_its_end(uri.path(), (running, bytes), work).await?;
    Ok(match turn {
        Some(turn) => turn.until_encoded(response),
        None => response,
    })
}

/// Reads the whole message of a request. The call needs nothing more from its caller then. `permit` grows with what has
/// been read.
async fn read(body: &mut Body, permit: &mut Permit) -> Result<Bytes, Status> {
    // Nearly always there is one part, which is not copied.
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| status::unreadable(&error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let read_bytes = first.len().max(all.len()) + data.len();
        if read_bytes > MESSAGE_BYTES_MAX + FRAME_BYTES {
            return Err(status::too_large());
        }
        if !permit.raise_to(read_bytes) {
            return Err(status::overloaded());
        }
        if first.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
    }
    let message = if all.is_empty() { first } else { all.freeze() };
    if is_followed(&message) {
        return Err(status::unreadable("there is something behind the message"));
    }
    Ok(message)
}

/// True if there is anything behind the message, which tonic would ignore.
fn is_followed(framed: &[u8]) -> bool {
    let Some(([_, length @ ..], rest)) = framed.split_first_chunk::<FRAME_BYTES>() else { return false };
    (u32::from_be_bytes(*length) as usize) < rest.len()
}

/// Names and logs the answer of a call.
async fn answer(made: impl Future<Output = Result<Response<Body>, Infallible>>, id: CallId) -> Response<Body> {
    let begun = Instant::now();
    let Ok(mut response) = made.await;
    let failure = match response.extensions().get::<Status>() {
        Some(status) => Some(status.clone()),
        None => Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok),
    };
    if let Some(failure) = failure {
        return id.refuse(&failure);
    }
    access::answered(begun.elapsed());
    id.name(&mut response);
    response
}

#[cfg(test)]
mod tests;
