//! A client of stockhold for callers who have many calls at once. They share one stream, `ReservationService.Session`,
//! which costs both sides several times less than a call each. No call waits for others: a lone one goes at once.
//!
//! ```no_run
//! use stockhold_client::Client;
//! use stockhold_client::v1::{ConfirmRequest, Line, ReserveRequest};
//!
//! # async fn order() -> Result<(), Box<dyn std::error::Error>> {
//! // Without keepalive a server that vanishes without a word is not noticed.
//! let server = tonic::transport::Endpoint::from_static("http://127.0.0.1:50051")
//!     .http2_keep_alive_interval(std::time::Duration::from_secs(10))
//!     .keep_alive_timeout(std::time::Duration::from_secs(5));
//! let channel = server.connect().await?;
//! let client = Client::new(channel); // one for all tasks: its clones share the stream
//! let lines = vec![Line { sku: "mug".into(), quantity: 1 }];
//! client.reserve(ReserveRequest { reservation_id: "order-1".into(), lines, ..Default::default() }).await?;
//! client.confirm(ConfirmRequest { reservation_id: "order-1".into(), ..Default::default() }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! For all other calls use the generated clients in [`v1`], over the same channel.

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

/// Calls that share a stream. The first call opens it. When it has broken, or the server has told it to go away, the
/// next call opens another one.
///
/// Every method is the call of the same name. It answers the reservation, or the error with all details. It also fails
/// with `UNAVAILABLE` when the stream breaks before the answer: the call may be done or not, so repeat it under the
/// same id. A caller who no longer wants to wait drops the future (`tokio::time::timeout`); then, too, the call may be
/// done or not. A request of more than 256 KiB is `INVALID_ARGUMENT` and is not sent.
#[derive(Clone, Debug)]
pub struct Client(Sessions);

impl Client {
    /// A client over this channel. It sends nothing yet.
    ///
    /// Use it within a tokio runtime. The runtime of the call that opens a stream runs that stream, which ends when the
    /// runtime does.
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
