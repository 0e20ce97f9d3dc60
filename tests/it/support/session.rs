//! Requests for a session, and a session without the batching client: through the generated client, or frame by frame.

use bytes::Bytes;
use prost::Message;
use stockhold::grpc::v1;
use stockhold::grpc::v1::outcome::Outcome;
use stockhold::grpc::v1::reservation_service_client::ReservationServiceClient;
use stockhold::grpc::v1::session_request::Request as Asked;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::client::to_lines;
use super::http2::{BOUND, Http2};
use super::server::TestService;

const SESSION: &str = "/stockhold.v1.ReservationService/Session";

pub(crate) fn reserve(id: &str, lines: &[(&str, u32)]) -> v1::ReserveRequest {
    v1::ReserveRequest { reservation_id: id.into(), lines: to_lines(lines), ..Default::default() }
}

pub(crate) fn confirm(id: &str) -> v1::ConfirmRequest {
    v1::ConfirmRequest { reservation_id: id.into(), ..Default::default() }
}

pub(crate) fn cancel(id: &str) -> v1::CancelRequest {
    v1::CancelRequest { reservation_id: id.into(), ..Default::default() }
}

pub(crate) fn get(id: &str) -> v1::GetReservationRequest {
    v1::GetReservationRequest { reservation_id: id.into(), ..Default::default() }
}

/// A session through the generated client.
pub(crate) struct Session {
    pub(crate) requests: mpsc::Sender<v1::SessionRequest>,
    pub(crate) answers: Streaming<v1::SessionResponse>,
}

impl Session {
    pub(crate) async fn open(channel: Channel) -> Self {
        let (requests, unsent) = mpsc::channel(8);
        let answers = ReservationServiceClient::new(channel).session(ReceiverStream::new(unsent)).await;
        Self { requests, answers: answers.expect("opens").into_inner() }
    }

    pub(crate) async fn ask(&self, id: u64, request: Asked) {
        self.requests.send(v1::SessionRequest { id, request: Some(request) }).await.expect("is read from");
    }

    pub(crate) async fn next(&mut self) -> Result<Option<v1::SessionResponse>, Status> {
        timeout(BOUND, self.answers.message()).await.expect("an answer or the end")
    }

    pub(crate) async fn answer(&mut self) -> (u64, Result<v1::ReservationState, (Code, String)>) {
        let answer = self.next().await.expect("no error").expect("not the end");
        (answer.id, came(answer.outcome.expect("an outcome")))
    }
}

pub(crate) async fn channel(service: &TestService) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", service.address())).expect("an address");
    endpoint.connect().await.expect("connects")
}

pub(crate) fn came(outcome: v1::Outcome) -> Result<v1::ReservationState, (Code, String)> {
    match outcome.outcome.expect("one of both") {
        Outcome::Reservation(reservation) => Ok(reservation.state()),
        Outcome::Error(error) => {
            let status = status(error);
            let reason = status.get_details_error_info().expect("a reason").reason;
            Err((status.code(), reason))
        }
    }
}

pub(crate) fn status(error: v1::Error) -> Status {
    let details = prost::Message::encode_to_vec(&error);
    Status::with_details(error.code.into(), error.message, details.into())
}

pub(crate) fn request_id(error: v1::Error) -> String {
    status(error).get_details_request_info().expect("a request id").request_id
}

/// Opens a session on a connection. The test chooses every frame of it.
pub(crate) async fn open_session(connection: &mut Http2) -> (h2::RecvStream, h2::SendStream<Bytes>) {
    let (opened, requests) = connection.post(SESSION, false).await;
    let opened = opened.await.expect("opens");
    assert!(opened.status().is_success());
    (opened.into_body(), requests)
}

/// All answers until the end, and the code that ends the stream.
pub(crate) async fn read_to_the_end(mut answers: h2::RecvStream) -> (Vec<v1::SessionResponse>, Code) {
    let (mut bytes, mut read) = (Vec::new(), Vec::new());
    while let Some(more) = timeout(BOUND, answers.data()).await.expect("goes on") {
        let more = more.expect("nothing breaks");
        answers.flow_control().release_capacity(more.len()).expect("as much as was read");
        bytes.extend(more);
    }
    let mut rest = &bytes[..];
    while let Some((head, behind)) = rest.split_first_chunk::<5>() {
        let (message, behind) = behind.split_at(u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize);
        read.push(v1::SessionResponse::decode(message).expect("an answer"));
        rest = behind;
    }
    let trailers = timeout(BOUND, answers.trailers()).await.expect("ends").expect("nothing breaks");
    (read, Status::from_header_map(&trailers.expect("trailers")).expect("a status").code())
}
