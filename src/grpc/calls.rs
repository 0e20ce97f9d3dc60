//! What happens around every call, whatever it does. Promises:
//! - Until the request is read whole, nothing has begun and a caller who leaves takes it along. From then on a call of
//!   several steps runs to its end in a task of its own: a caller who hangs up or times out drops only the wait for the
//!   answer. A call of one step goes with its caller, and is never made if it still waits.
//! - At most so many calls run at once, over all connections; one that runs on without its caller still counts. More
//!   are refused.
//! - Nobody waits longer than the earlier of his own deadline and the server's; for Reconcile his own alone counts.
//! - Every answer carries a request id, and every error has the form of the table in `status`.
//! - Each failure is logged once, with its causes, under the request id.
//!
//! A Session is a stream, and no call: the requests that it carries are.
//!
//! Health and reflection are exempt: they touch no store, must answer under load, and stream.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument;

use super::request_id::RequestId;
use super::{MESSAGE_BYTES_MAX, status};

/// A message stands behind a flag and its length.
const FRAME_BYTES: usize = 5;

/// How long a caller may take to send a request whose headers have arrived. Meanwhile it has a place, and others do
/// not.
const READ_MAX: Duration = Duration::from_secs(2);

/// The stream that carries calls. It is none itself: each of its requests is, and goes through [`Calls::one_of_many`].
const SESSION: &str = "/stockhold.v1.ReservationService/Session";

/// What the names of calls end with that carry calls in one message.
const MANY: &str = "Many";

/// The call that takes as long as there is stock to compare: for it only the caller's own deadline counts.
const UNBOUNDED: &str = "/stockhold.v1.StockService/Reconcile";

/// Calls that change at most one thing, in one step: there is nothing to bring to an end. They need no task of their
/// own.
const ONE_STEP: [&str; 6] = [
    "/stockhold.v1.ReservationService/Reserve",
    "/stockhold.v1.ReservationService/Extend",
    "/stockhold.v1.ReservationService/GetReservation",
    "/stockhold.v1.ReservationService/ListReservations",
    "/stockhold.v1.StockService/GetStock",
    "/stockhold.v1.StockService/ListStock",
];

/// Services that this layer lets pass.
const EXEMPT: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];

/// The bounds of calls.
#[derive(Clone, Debug)]
pub struct CallsConfig {
    /// How many may run at once.
    pub concurrency_max: usize,
    /// How long a caller may wait.
    pub deadline_max: Duration,
}

/// What the requests that came together must know of the call or stream that carries them.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) id: RequestId,
    /// When they are given up, if the whole has a deadline: a tenth of its time before, so that its caller still hears
    /// of those that are done.
    deadline: Option<tokio::time::Instant>,
}

impl Whole {
    fn call(id: RequestId, deadline: &Sleep) -> Self {
        let left = deadline.deadline().saturating_duration_since(tokio::time::Instant::now());
        Self { id, deadline: Some(deadline.deadline() - left / 10) }
    }

    fn stream(id: RequestId) -> Self {
        Self { id, deadline: None }
    }
}

/// All calls that run.
#[derive(Clone, Debug)]
pub struct Calls {
    places: Arc<Semaphore>,
    deadline_max: Duration,
    running: TaskTracker,
}

impl Calls {
    /// No calls yet.
    pub fn new(config: &CallsConfig) -> Self {
        Self {
            places: Arc::new(Semaphore::new(config.concurrency_max)),
            deadline_max: config.deadline_max,
            running: TaskTracker::new(),
        }
    }

    /// Waits for the end of every call, also of those whose callers have gone.
    pub async fn finish(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// One of the requests that came together in one message or on one stream: a call like any other, but for its way
    /// here.
    pub(super) async fn one_of_many<T: Send + 'static>(
        &self,
        rpc: &str,
        whole: &Whole,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Status> {
        let place = self.place()?;
        let deadline = match whole.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline),
            None => tokio::time::sleep(self.deadline_max),
        };
        tokio::select! {
            biased;
            answer = self.run(is_one_step(rpc), place, work) => answer,
            () = deadline => Err(status::deadline_exceeded()),
        }
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        self.places.clone().try_acquire_owned().map_err(|_| status::overloaded())
    }

    /// Keeps the place until the work has ended. One step ends with whoever waits for it, several go on without him.
    async fn run<T: Send + 'static>(
        &self,
        is_one_step: bool,
        place: OwnedSemaphorePermit,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Status> {
        let work = work.map(|answer| {
            drop(place);
            answer
        });
        let answer = if is_one_step {
            self.running.track_future(AssertUnwindSafe(work).catch_unwind()).await.ok()
        } else {
            self.running.spawn(work.in_current_span()).await.ok()
        };
        // Only a panic is no answer, and the panic hook has logged it in the span of the call.
        answer.ok_or_else(status::panicked)
    }

    fn deadline(&self, path: &str, headers: &HeaderMap) -> Sleep {
        let asked = headers.get("grpc-timeout").and_then(|timeout| grpc_timeout(timeout.to_str().ok()?));
        let max = if path == UNBOUNDED { Duration::MAX } else { self.deadline_max };
        tokio::time::sleep(asked.unwrap_or(max).min(max))
    }
}

impl<S> Layer<S> for Calls {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, calls: self.clone() }
    }
}

/// A service behind [`Calls`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    calls: Calls,
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
        let path = request.uri().path();
        if EXEMPT.iter().any(|exempt| path.starts_with(exempt)) {
            return self.inner.call(request).boxed();
        }
        let clone = self.inner.clone();
        // The clone need not be ready; the one that was asked is.
        let inner = std::mem::replace(&mut self.inner, clone);
        let id = RequestId::of(request.headers());
        // Of the highest level, so that an error has its request id whatever levels are logged.
        let span = tracing::error_span!("call", rpc = path, request_id = %id.as_str());
        if path == SESSION {
            request.extensions_mut().insert(Whole::stream(id.clone()));
            return answer(inner, request, id).instrument(span).map(Ok).boxed();
        }
        // The time runs from here. tonic has a timer for the caller's deadline too, which answers CANCELLED; it begins
        // later and is asked later, so that this one wins.
        let deadline = self.calls.deadline(path, request.headers());
        if path.ends_with(MANY) {
            request.extensions_mut().insert(Whole::call(id.clone(), &deadline));
        }
        guard(inner, self.calls.clone(), request, id, deadline).instrument(span).map(Ok).boxed()
    }
}

async fn guard<S>(inner: S, calls: Calls, request: Request<Body>, id: RequestId, deadline: Sleep) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    let work = async {
        let place = calls.place()?;
        let request = match tokio::time::timeout(READ_MAX, read(request)).await {
            Ok(request) => request?,
            Err(_) => return Err(status::deadline_exceeded()),
        };
        let is_one_step = is_one_step(request.uri().path());
        calls.run(is_one_step, place, answer(inner, request, id.clone())).await
    };
    let answer = tokio::select! {
        biased;
        answer = work => answer,
        () = deadline => Err(status::deadline_exceeded()),
    };
    answer.unwrap_or_else(|failure| id.refuse(&failure))
}

fn is_one_step(rpc: &str) -> bool {
    ONE_STEP.contains(&rpc)
}

/// Reads the whole request, so that what begins afterwards needs nothing from the caller.
async fn read(request: Request<Body>) -> Result<Request<Body>, Status> {
    let (head, body) = request.into_parts();
    match Limited::new(body, MESSAGE_BYTES_MAX + FRAME_BYTES).collect().await {
        Ok(body) => Ok(Request::from_parts(head, Body::new(Full::new(body.to_bytes())))),
        Err(error) if error.is::<LengthLimitError>() => Err(status::too_large()),
        Err(error) => Err(status::unreadable(&error.to_string())),
    }
}

async fn answer<S>(mut inner: S, request: Request<Body>, id: RequestId) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let begun = Instant::now();
    let Ok(mut response) = inner.call(request).await;
    let failure = match response.extensions().get::<Status>() {
        Some(status) => Some(status.clone()),
        None => Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok),
    };
    if let Some(failure) = failure {
        return id.refuse(&failure);
    }
    tracing::debug!(elapsed_us = begun.elapsed().as_micros(), "answered");
    id.name(&mut response);
    response
}

/// Reads the `grpc-timeout` header: up to eight digits and a unit. As tonic does, what is malformed counts as absent.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
