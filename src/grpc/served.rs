//! What is served, and which service answers a path.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

use super::calls::Calls;
use super::health::HealthService;
use super::reservations::Reservations;
use super::session::Sessions;
use super::stock::Stock;
use super::v1::reservation_service_server::{ReservationServiceServer, SERVICE_NAME};
use super::v1::stock_service_server::StockServiceServer;
use super::{DESCRIPTORS, MESSAGE_BYTES_MAX};
use crate::service::Service;

/// The most bytes of a request of health or reflection, which has little more than a name.
const NAME_BYTES_MAX: usize = 4 * 1024;

/// The service, health, and reflection for grpcurl and its like.
#[derive(Clone)]
pub struct Served {
    /// Asked without the router of the others, which takes some 5 % of what a call costs the service.
    reservations: ReservationServiceServer<Reservations>,
    others: Routes,
}

impl Served {
    /// All of it over one service, with or without reflection. Fails if the descriptors cannot be reflected.
    pub fn new(
        service: &Arc<Service>,
        health: HealthServer<HealthService>,
        calls: &Calls,
        sessions: Sessions,
        reflected: bool,
    ) -> Result<Self, tonic_reflection::server::Error> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // So that grpcurl can print the details of errors.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        let reservations = Reservations { service: service.clone(), calls: calls.clone(), sessions };
        let stock = StockServiceServer::new(Stock(service.clone()));
        let mut others = Routes::new(stock.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(health.max_decoding_message_size(NAME_BYTES_MAX));
        if reflected {
            others = others
                .add_service(reflection().build_v1()?.max_decoding_message_size(NAME_BYTES_MAX))
                // Older clients ask for it.
                .add_service(reflection().build_v1alpha()?.max_decoding_message_size(NAME_BYTES_MAX));
        }
        let reservations = ReservationServiceServer::new(reservations).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { reservations, others: others.prepare() })
    }
}

impl tower::Service<Request<Body>> for Served {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // All of them are at any time.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if is_about_reservations(request.uri().path()) {
            self.reservations.call(request)
        } else {
            self.others.call(request).boxed()
        }
    }
}

/// True if a path is `/`, the name of that service, `/`, and anything.
fn is_about_reservations(path: &str) -> bool {
    let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE_NAME));
    method.is_some_and(|method| method.starts_with('/'))
}
