//! The connection to a running service.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::args;
use super::failure::Failure;
use crate::config::duration;
use crate::grpc::v1::reservation_service_client::ReservationServiceClient;
use crate::grpc::v1::stock_service_client::StockServiceClient;

/// Where to send a call, and how to print its answer.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// Address of the service: http://host:port, https://host:port, or host:port without TLS
    #[arg(long, env = "STOCKHOLD_ADDR", default_value = "http://127.0.0.1:50051", value_parser = args::address)]
    addr: http::Uri,
    /// PEM file with the certificate authority to trust for https://; the system's unless given
    #[arg(long, env = "STOCKHOLD_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The pool of stock; empty means "default"
    #[arg(long, env = "STOCKHOLD_LOCATION", default_value = "")]
    location: String,
    /// How long to wait for each answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Print the answer or the error as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The services, and what every request to them carries.
pub(super) struct Client {
    pub(super) reservations: ReservationServiceClient<Channel>,
    pub(super) stock: StockServiceClient<Channel>,
    pub(super) health: HealthClient<Channel>,
    pub(super) location: String,
    timeout: Duration,
}

impl Client {
    /// Connects, and makes sure that the other side speaks gRPC. A failure here means that nothing was done.
    pub(super) async fn connect(connection: &Connection) -> Result<Self, Failure> {
        let unreachable = |cause: &dyn Error| Failure::local(unreachable(&connection.addr, cause));
        let mut endpoint = Endpoint::from(connection.addr.clone()).connect_timeout(connection.timeout);
        if connection.addr.scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(connection.tls()?).map_err(|cause| unreachable(&cause))?;
        }
        let channel = endpoint.connect().await.map_err(|cause| unreachable(&cause))?;
        let mut client = Self {
            reservations: ReservationServiceClient::new(channel.clone()),
            stock: StockServiceClient::new(channel.clone()),
            health: HealthClient::new(channel),
            location: connection.location.clone(),
            timeout: connection.timeout,
        };
        let anything = client.request(HealthCheckRequest::default());
        match client.health.check(anything).await {
            Err(status) if !is_grpc(&status) => Err(Failure::local(no_grpc(&connection.addr))),
            _ => Ok(client),
        }
    }

    /// A request that both sides give up on after the timeout.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

impl Connection {
    fn tls(&self) -> Result<ClientTlsConfig, Failure> {
        let tls = ClientTlsConfig::new().timeout(self.timeout);
        let Some(file) = &self.ca_file else { return Ok(tls.with_native_roots()) };
        let pem =
            std::fs::read(file).map_err(|error| Failure::local(format!("--ca-file {}: {error}", file.display())))?;
        Ok(tls.ca_certificate(Certificate::from_pem(pem)))
    }
}

fn unreachable(addr: &http::Uri, cause: &dyn Error) -> String {
    let cause = root(cause).to_string();
    let help = if cause.contains("certificate") {
        "name the certificate authority to trust with --ca-file or STOCKHOLD_CA_FILE"
    } else if addr.scheme_str() == Some("https") {
        "`stockhold serve` has no TLS of its own: write http:// unless a proxy in front of it has"
    } else {
        "start one with `stockhold serve`, or name another with --addr or STOCKHOLD_ADDR"
    };
    format!("no stockhold service at {}: {cause}\n  {help}", shown(addr))
}

/// True if an error came as a gRPC answer. tonic makes up the others: with a source where the connection broke, with
/// this message where an HTTP server answered.
fn is_grpc(status: &Status) -> bool {
    status.source().is_none() && !status.message().starts_with("grpc-status header missing")
}

/// One text for silence and for another protocol, because they look alike: tonic connects again and again while the
/// other side breaks each connection before the call is sent.
fn no_grpc(addr: &http::Uri) -> String {
    format!("the server at {} does not answer in gRPC; name another with --addr or STOCKHOLD_ADDR", shown(addr))
}

fn shown(addr: &http::Uri) -> String {
    addr.to_string().trim_end_matches('/').to_owned()
}

fn root(error: &dyn Error) -> &dyn Error {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_service_is_named_with_what_to_do() {
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "Connection refused");
        let untrusted = std::io::Error::other("invalid peer certificate: UnknownIssuer");
        for (addr, cause, help) in [
            ("http://127.0.0.1:1", &refused, "stockhold serve"),
            ("https://127.0.0.1:1", &refused, "write http://"),
            ("https://127.0.0.1:1", &untrusted, "--ca-file"),
        ] {
            let text = unreachable(&http::Uri::from_static(addr), cause);
            assert!(text.starts_with(&format!("no stockhold service at {addr}: {cause}\n")), "{text}");
            assert!(text.contains(help), "{text}");
        }
    }
}
