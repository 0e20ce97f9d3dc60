//! A caller who opens streams, sends any bytes on them, and reads no answers.

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture};
use h2::{RecvStream, SendStream};
use http::Response;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::http2::{BOUND, Http2};
use super::server::TestService;

/// The caller's connection with all its streams.
pub(crate) struct Deaf {
    connection: Http2,
    streams: Vec<(ResponseFuture, SendStream<Bytes>)>,
}

impl Deaf {
    pub(crate) async fn connect(service: &TestService) -> Self {
        let mut settings = Builder::new();
        settings.initial_window_size(0);
        Self { connection: Http2::connect_as(service.address(), &settings).await, streams: Vec::new() }
    }

    /// Opens this many streams, and sends these messages on each of them.
    pub(crate) async fn open(mut self, streams: usize, path: &str, messages: &[Bytes], is_all: bool) -> Self {
        for _ in 0..streams {
            let (answer, mut request) = self.connection.post(path, false).await;
            for (index, message) in messages.iter().enumerate() {
                // An error means that the service has refused the call already.
                let _ = request.send_data(message.clone(), is_all && index + 1 == messages.len());
            }
            self.streams.push((answer, request));
        }
        self
    }

    /// The codes that the answers begin with, OK for one that goes on, and the answers, which stay open until they are
    /// dropped.
    pub(crate) async fn codes(&mut self) -> (Vec<Code>, Vec<Response<RecvStream>>) {
        let (mut codes, mut heads) = (Vec::new(), Vec::new());
        for (answer, _) in &mut self.streams {
            let head = timeout(BOUND, answer).await.expect("an answer").expect("no reset");
            codes.push(Status::from_header_map(head.headers()).map_or(Code::Ok, |status| status.code()));
            heads.push(head);
        }
        (codes, heads)
    }
}
