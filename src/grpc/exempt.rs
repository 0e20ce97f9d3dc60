//! Health and reflection: streams that count among no calls, because they touch no store and must answer under load.
//! They have bounds of their own, and one that is beyond them is `RESOURCE_EXHAUSTED`:
//! - A connection has [`CHECKS_PEER_MAX`] health checks under way at a time. Their sum has no other bound, so that
//!   no connection can keep another one from asking.
//! - A connection has [`WATCHES_PEER_MAX`] watches of health, all connections together [`WATCHES_MAX`].
//! - There are [`REFLECTIONS_MAX`] streams of reflection, because their answers are large, and each is read from for
//!   [`REFLECTION_LASTS_MAX`] only.
//!
//! The request of each must arrive within [`READ_MAX`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::body::Body;

use super::calls::READ_MAX;
use super::peer::Caller;
use super::permits::Permits;

/// Health checks that one connection may have under way.
const CHECKS_PEER_MAX: usize = 16;

/// Watches of health that one connection may have. A client has one for each name that it follows.
const WATCHES_PEER_MAX: usize = 8;

/// Watches of health over all connections.
const WATCHES_MAX: usize = 4096;

/// Streams of reflection over all connections.
const REFLECTIONS_MAX: usize = 16;

/// For how long a stream of reflection is read from. Its client opens another one when it needs it.
const REFLECTION_LASTS_MAX: Duration = Duration::from_secs(10);

/// What the paths of health and of both versions of reflection begin with.
const HEALTH: &str = "/grpc.health.";
const REFLECTION: &str = "/grpc.reflection.";

/// The watch among the calls of health.
const WATCH: &str = "/Watch";

/// A kind of such streams.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Check,
    Watch,
    Reflection,
}

impl Kind {
    /// Of the stream that a path asks for. None for calls, which are not exempt.
    pub(super) fn of(path: &str) -> Option<Self> {
        if path.starts_with(REFLECTION) {
            Some(Self::Reflection)
        } else if path.starts_with(HEALTH) {
            Some(if path.ends_with(WATCH) { Self::Watch } else { Self::Check })
        } else {
            None
        }
    }
}

/// All such streams.
#[derive(Debug)]
pub(super) struct Exempt {
    checks: Permits,
    watches: Permits,
    reflections: Permits,
}

impl Exempt {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            checks: Permits::with_peer_max(usize::MAX, CHECKS_PEER_MAX),
            watches: Permits::with_peer_max(WATCHES_MAX, WATCHES_PEER_MAX),
            reflections: Permits::new(REFLECTIONS_MAX),
        }
    }

    /// Has a stream served, if there is a permit, which it holds until its response was sent or is dropped.
    pub(super) fn serve<S, F>(
        &self,
        kind: Kind,
        caller: Arc<Caller>,
        request: Request<Body>,
        serve: S,
    ) -> impl Future<Output = Response<Body>> + Send + use<S, F>
    where
        S: FnOnce(Request<Body>) -> F + Send + 'static,
        F: Future<Output = Result<Response<Body>, Infallible>> + Send,
    {
        let permits = match kind {
            Kind::Check => &self.checks,
            Kind::Watch => &self.watches,
            Kind::Reflection => &self.reflections,
        };
        let permit = permits.take(caller.peer, 1);
        async move {
            let Some(permit) = permit else {
                return Status::resource_exhausted("too many such streams are open; close some").into_http();
            };
            let request = match kind {
                Kind::Reflection => request.map(|body| {
                    Body::new(StreamBody::new(BodyStream::new(body).take_until(sleep(REFLECTION_LASTS_MAX))))
                }),
                Kind::Check | Kind::Watch => request,
            };
            let Ok(Ok(response)) = timeout(READ_MAX, serve(request)).await else {
                return Status::deadline_exceeded("the request took too long to arrive").into_http();
            };
            let waits = matches!(kind, Kind::Watch).then(|| caller.activity.waits());
            response.map(|body| {
                Body::new(body.inspect_frame(move |_| {
                    let _held = (&permit, &waits);
                }))
            })
        }
    }
}

#[cfg(test)]
mod tests;
