//! The peers: other ways to keep the same contract, each a process of its own.
//!
//! They are what an engineer builds in an afternoon. They leave out work that the service does: they expire nothing in
//! the background, check no field, and give no details of errors. So their figures are better than they would be in
//! production, never worse.
//!
//! A peer implements what it needs of [`Peer`]. The rest of the contract answers UNIMPLEMENTED here.

pub(crate) mod empty;
pub(crate) mod mysql;
pub(crate) mod seckill;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use stockhold::grpc::http2::{self, ConnectionsConfig};
use stockhold::grpc::unsent::Unsent;
use stockhold::grpc::v1;
use stockhold::grpc::v1::reservation_service_server::{ReservationService, ReservationServiceServer};
use stockhold::grpc::v1::stock_service_server::{StockService, StockServiceServer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// The limit of the service.
const CONNECTIONS_MAX: usize = 900;

/// The limit of the service, as well.
const UNSENT_BYTES_MAX: usize = 64 << 20;

/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

/// How long a peer holds when the caller does not say, as the service does.
pub(crate) const TTL_DEFAULT_MS: i64 = 600_000;

/// The first words of a refusal for want of stock, in every system. The load generator recognises it by them.
pub(crate) const SHORT: &str = "not enough stock";

/// The arguments of a peer.
#[derive(Parser)]
pub(crate) struct PeerArgs {
    /// Where it listens
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    /// A Redis that it may use
    #[arg(long)]
    pub(crate) redis_url: String,
    /// An empty database that it may use
    #[arg(long)]
    pub(crate) database_url: String,
}

impl PeerArgs {
    /// Reads the command line after the name of the peer.
    pub(crate) fn parse_or_exit() -> Self {
        Self::parse_from(std::env::args().skip(1))
    }
}

/// The part of the contract that is measured.
pub(crate) trait Peer: Send + Sync + 'static {
    fn set_stock(&self, request: v1::SetStockRequest) -> impl Future<Output = Result<(), Status>> + Send;

    fn reserve(&self, request: v1::ReserveRequest) -> impl Future<Output = Result<v1::ReserveResponse, Status>> + Send;

    fn confirm(&self, _: v1::ConfirmRequest) -> impl Future<Output = Result<v1::ConfirmResponse, Status>> + Send {
        async { Err(absent()) }
    }

    fn cancel(&self, _: v1::CancelRequest) -> impl Future<Output = Result<v1::CancelResponse, Status>> + Send {
        async { Err(absent()) }
    }
}

/// Serves a peer until the process is killed, on the server of the service.
pub(crate) async fn serve(listen: SocketAddr, peer: impl Peer) -> Result<(), Box<dyn Error>> {
    let shop = Shop(Arc::new(peer));
    let (reservations, stock) = (ReservationServiceServer::new(shop.clone()), StockServiceServer::new(shop));
    let routes = Routes::new(reservations).add_service(stock).prepare();
    let listener = TcpListener::bind(listen).await?;
    let bounds = ConnectionsConfig::new(CONNECTIONS_MAX, FOR_EVER, FOR_EVER);
    http2::serve(routes, listener, bounds, Unsent::new(UNSENT_BYTES_MAX), CancellationToken::new()).await;
    Ok(())
}

/// A reservation as it is answered.
pub(crate) fn reservation(
    location: String,
    reservation_id: String,
    lines: Vec<v1::Line>,
    state: v1::ReservationState,
) -> Option<v1::Reservation> {
    Some(v1::Reservation { location, reservation_id, lines, state: state.into(), ..Default::default() })
}

/// How long a request holds.
pub(crate) fn ttl_ms(request: &v1::ReserveRequest) -> i64 {
    request.ttl.as_ref().map_or(TTL_DEFAULT_MS, |ttl| ttl.seconds * 1000 + i64::from(ttl.nanos) / 1_000_000)
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// The expected refusal.
pub(crate) fn short(sku: &str) -> Status {
    Status::failed_precondition(format!("{SHORT}: {sku}"))
}

/// A store failed.
pub(crate) fn broken(error: impl Error) -> Status {
    Status::internal(error.to_string())
}

fn absent() -> Status {
    Status::unimplemented("a peer has only what is measured")
}

struct Shop<P>(Arc<P>);

impl<P> Clone for Shop<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[tonic::async_trait]
impl<P: Peer> ReservationService for Shop<P> {
    async fn reserve(&self, request: Request<v1::ReserveRequest>) -> Result<Response<v1::ReserveResponse>, Status> {
        self.0.reserve(request.into_inner()).await.map(Response::new)
    }

    async fn confirm(&self, request: Request<v1::ConfirmRequest>) -> Result<Response<v1::ConfirmResponse>, Status> {
        self.0.confirm(request.into_inner()).await.map(Response::new)
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        self.0.cancel(request.into_inner()).await.map(Response::new)
    }
}

#[tonic::async_trait]
impl<P: Peer> StockService for Shop<P> {
    async fn set_stock(&self, request: Request<v1::SetStockRequest>) -> Result<Response<v1::SetStockResponse>, Status> {
        self.0.set_stock(request.into_inner()).await.map(|()| Response::new(v1::SetStockResponse::default()))
    }
}
