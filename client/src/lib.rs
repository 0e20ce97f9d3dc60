//! A client of stockhold for callers who have many calls at once: they share one stream, `ReservationService.Session`,
//! which is several times cheaper than a call each, for both sides. Nothing waits for company: a lone call goes at
//! once.
//!
//! ```no_run
//! use stockhold_client::Client;
//! use stockhold_client::v1::{ConfirmRequest, Line, ReserveRequest};
//!
//! # async fn order() -> Result<(), Box<dyn std::error::Error>> {
//! // Keepalive, or a server that vanishes without a word is not noticed.
//! let server = tonic::transport::Endpoint::from_static("http://127.0.0.1:50051")
//!     .http2_keep_alive_interval(std::time::Duration::from_secs(10))
//!     .keep_alive_timeout(std::time::Duration::from_secs(5));
//! let channel = server.connect().await?;
//! let client = Client::new(channel); // one for all tasks: clones share the stream
//! let lines = vec![Line { sku: "mug".into(), quantity: 1 }];
//! client.reserve(ReserveRequest { reservation_id: "order-1".into(), lines, ..Default::default() }).await?;
//! client.confirm(ConfirmRequest { reservation_id: "order-1".into(), ..Default::default() }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The calls that are not here are those of the generated clients in [`v1`], over the same channel.

mod session;

use tonic::Status;
use tonic::transport::Channel;

use session::Sessions;
use v1::session_request::Request;

/// Messages and clients, generated from `proto/stockhold/v1/`, where everything is documented.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("stockhold.v1");
}

/// Calls that share a stream. It is opened by the first call and, when it breaks or its server ends, again by the next
/// one.
///
/// Every method is the call of the same name, its answer's reservation or its error with all details. Besides, each may
/// fail with `UNAVAILABLE` when the stream breaks before the answer: what was asked for is done or not, and is to be
/// asked for again, as ever. A caller who no longer wants to wait drops the future (`tokio::time::timeout`); then too
/// it may be done or not. A request of more than 256 KiB is `INVALID_ARGUMENT`, and not sent.
#[derive(Clone, Debug)]
pub struct Client(Sessions);

impl Client {
    /// Over this channel; nothing is sent yet.
    ///
    /// It is to be used within a tokio runtime: the one of the call that opens a stream runs it. When that ends, the
    /// stream does too.
    pub fn new(channel: Channel) -> Self {
        Self(Sessions::over(channel))
    }

    /// `ReservationService.Reserve`.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn reserve(&self, request: v1::ReserveRequest) -> Result<v1::Reservation, Status> {
        self.0.call(Request::Reserve(request)).await
    }

    /// `ReservationService.Confirm`.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn confirm(&self, request: v1::ConfirmRequest) -> Result<v1::Reservation, Status> {
        self.0.call(Request::Confirm(request)).await
    }

    /// `ReservationService.Cancel`.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn cancel(&self, request: v1::CancelRequest) -> Result<v1::Reservation, Status> {
        self.0.call(Request::Cancel(request)).await
    }

    /// `ReservationService.Extend`.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn extend(&self, request: v1::ExtendRequest) -> Result<v1::Reservation, Status> {
        self.0.call(Request::Extend(request)).await
    }

    /// `ReservationService.GetReservation`.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn get_reservation(&self, request: v1::GetReservationRequest) -> Result<v1::Reservation, Status> {
        self.0.call(Request::GetReservation(request)).await
    }
}
