//! How requests travel: one call each. Ways that carry many at once get a variant here and in [`Caller`], and nothing else changes.

use std::fmt;

use stockhold::grpc::v1;
use stockhold::grpc::v1::reservation_service_client::ReservationServiceClient;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// Fewer than a server allows on one connection, so that no call waits for another.
const STREAMS_EACH: usize = 1000;

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// One call an operation.
    Unary,
}

/// One end of a way, which a caller uses for one operation after the other.
#[derive(Clone)]
pub(crate) enum Caller {
    Unary(ReservationServiceClient<Channel>),
}

impl Way {
    /// Connects to a server on this port as often as so many callers need, and gives each its end.
    pub(crate) async fn open(self, port: u16, callers: usize) -> Result<Vec<Caller>, tonic::transport::Error> {
        let mut channels = Vec::new();
        for _ in 0..callers.div_ceil(STREAMS_EACH) {
            channels.push(connect(port).await?);
        }
        let ends = channels.into_iter().cycle().take(callers);
        Ok(match self {
            Self::Unary => ends.map(|channel| Caller::Unary(ReservationServiceClient::new(channel))).collect(),
        })
    }
}

pub(crate) async fn connect(port: u16) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?.connect().await
}

impl Caller {
    pub(crate) async fn reserve(&mut self, request: v1::ReserveRequest) -> Result<(), Status> {
        match self {
            Self::Unary(client) => client.reserve(request).await.map(drop),
        }
    }

    pub(crate) async fn confirm(&mut self, request: v1::ConfirmRequest) -> Result<(), Status> {
        match self {
            Self::Unary(client) => client.confirm(request).await.map(drop),
        }
    }

    pub(crate) async fn extend(&mut self, request: v1::ExtendRequest) -> Result<(), Status> {
        match self {
            Self::Unary(client) => client.extend(request).await.map(drop),
        }
    }

    pub(crate) async fn cancel(&mut self, request: v1::CancelRequest) -> Result<(), Status> {
        match self {
            Self::Unary(client) => client.cancel(request).await.map(drop),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unary => "unary",
        })
    }
}
