//! Which service answers a path.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use super::reservations::Reservations;
use super::v1::reservation_service_server::{ReservationServiceServer, SERVICE_NAME};

/// All that is served.
#[derive(Clone)]
pub struct Served {
    /// Asked without the router of the others, which takes some 5 % of what a call costs the service.
    pub(super) reservations: ReservationServiceServer<Reservations>,
    pub(super) others: Routes,
}

impl Service<Request<Body>> for Served {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // All of them are at any time.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if is_of(SERVICE_NAME, request.uri().path()) {
            self.reservations.call(request)
        } else {
            self.others.call(request).boxed()
        }
    }
}

/// True if a path is `/`, the name of the service, `/`, and anything.
fn is_of(service: &str, path: &str) -> bool {
    let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(service));
    method.is_some_and(|method| method.starts_with('/'))
}
