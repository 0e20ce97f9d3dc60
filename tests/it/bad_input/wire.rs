//! One connection, and calls over it whose every byte is the test's own choice: a gRPC client would not send them.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, client};
use http::{HeaderMap, Request, StatusCode};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Status;

use super::requests::Case;

/// The most bytes of headers that common clients take, counted as HTTP/2 does: for each its name, its value, and 32.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// What the service answers.
pub(super) enum Answer {
    Done(Bytes),
    Refused(Status),
    /// It was asked for something else than a call.
    NoCall(StatusCode),
}

pub(super) struct Wire {
    calls: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Wire {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connects");
        // A request has two parts; the second must not wait for the acknowledgement of the first.
        stream.set_nodelay(true).expect("is set");
        let (calls, connection) = client::handshake(stream).await.expect("both speak HTTP/2");
        Self { calls, connection: tokio::spawn(connection) }
    }

    /// Sends one request. All of them go over the same connection: if it broke, this fails.
    pub(super) async fn call(&mut self, case: &Case) -> Answer {
        let mut calls = self.calls.clone().ready().await.expect("the connection is usable");
        let mut request = Request::post(format!("http://localhost/{}", case.path)).body(()).expect("a request");
        *request.headers_mut() = case.headers();
        let (answer, mut sending) = calls.send_request(request, false).expect("is sent");
        // The service may have answered before it was told all.
        let _ = sending.send_data(case.body().into(), true);

        let (head, body) = answer.await.expect("an answer").into_parts();
        if head.status != StatusCode::OK {
            assert!(body.is_end_stream() && head.headers.is_empty(), "{head:?}");
            return Answer::NoCall(head.status);
        }
        let (body, trailers) = if head.headers.contains_key("grpc-status") {
            (Bytes::new(), head.headers.clone())
        } else {
            read(body).await
        };
        let bytes: usize = trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes <= HEADER_BYTES_MAX, "{bytes} bytes of headers");
        let status =
            Status::from_header_map(&trailers).unwrap_or_else(|| panic!("no grpc-status: {head:?} {trailers:?}"));
        if status.code() != tonic::Code::Ok {
            return Answer::Refused(status);
        }
        assert!(head.headers.contains_key("x-request-id"), "{head:?}");
        Answer::Done(body)
    }

    /// Fails if the service broke the connection.
    pub(super) async fn end(self) {
        drop(self.calls);
        self.connection.await.expect("does not panic").expect("ends well");
    }
}

async fn read(mut body: RecvStream) -> (Bytes, HeaderMap) {
    let mut message = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.expect("the answer is complete");
        body.flow_control().release_capacity(data.len()).expect("it was used");
        message.extend_from_slice(&data);
    }
    let trailers = body.trailers().await.expect("the answer is complete").expect("trailers");
    (message.freeze(), trailers)
}
