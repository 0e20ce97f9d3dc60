//! A caller who opens streams, sends what they like, and reads no answers.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture};
use h2::{RecvStream, SendStream};
use http::Response;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::server::TestService;
use super::session::{Calls, post, speak_http2};

/// Far more than any answer takes to begin.
const BOUND: Duration = Duration::from_secs(30);

/// Such a caller's connection, with all its streams.
pub(crate) struct Deaf {
    calls: Calls,
    _connection: JoinHandle<Result<(), h2::Error>>,
    streams: Vec<(ResponseFuture, SendStream<Bytes>)>,
}

impl Deaf {
    pub(crate) async fn connect(service: &TestService) -> Self {
        let mut how = Builder::new();
        how.initial_window_size(0);
        let (calls, connection) = speak_http2(service.address(), how).await;
        Self { calls, _connection: connection, streams: Vec::new() }
    }

    /// Opens so many streams and sends these messages on each, as far as the service takes them.
    pub(crate) async fn open(mut self, streams: usize, path: &str, messages: &[Bytes], is_all: bool) -> Self {
        for _ in 0..streams {
            let (answer, mut request) = post(&mut self.calls, path, false).await;
            for (index, message) in messages.iter().enumerate() {
                // The service may have refused it already.
                let _ = request.send_data(message.clone(), is_all && index + 1 == messages.len());
            }
            self.streams.push((answer, request));
        }
        self
    }

    /// The codes that the answers begin with, OK for one that goes on. The answers stay open as long as what is
    /// returned.
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
