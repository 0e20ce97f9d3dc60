//! The connection to a running service.

use std::time::Duration;

use clap::Args;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::args;
use super::failure::Failure;
use crate::config::duration;
use crate::grpc::v1::reservation_service_client::ReservationServiceClient;
use crate::grpc::v1::stock_service_client::StockServiceClient;

/// Where to send a call, and how to print its answer.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// Address of the service: http://host:port, or host:port
    #[arg(long, env = "STOCKHOLD_ADDR", default_value = "http://127.0.0.1:50051", value_parser = args::address)]
    addr: http::Uri,
    /// The pool of stock; empty means "default"
    #[arg(long, env = "STOCKHOLD_LOCATION", default_value = "")]
    location: String,
    /// How long to wait for each answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Both services, and what every request to them carries.
pub(super) struct Client {
    pub(super) reservations: ReservationServiceClient<Channel>,
    pub(super) stock: StockServiceClient<Channel>,
    pub(super) location: String,
    timeout: Duration,
}

impl Client {
    /// Connects at once, so that a service that is not there is told apart from a call that failed.
    pub(super) async fn connect(connection: &Connection) -> Result<Self, Failure> {
        let channel = Endpoint::from(connection.addr.clone())
            .connect_timeout(connection.timeout)
            .connect()
            .await
            .map_err(|cause| Failure::unreachable(&connection.addr, &cause))?;
        Ok(Self {
            reservations: ReservationServiceClient::new(channel.clone()),
            stock: StockServiceClient::new(channel),
            location: connection.location.clone(),
            timeout: connection.timeout,
        })
    }

    /// A request that the service gives up on after the timeout, as we do.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}
