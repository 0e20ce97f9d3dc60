//! One request and its answer. h2 is given only as much as the caller's window has room for. The rest waits here. It
//! counts as unsent, and the stream ends when the caller reads nothing for too long. The connection and its other
//! streams go on then.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::Response;
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

use super::backlog::Backlog;
use crate::grpc::unsent::{UnsentBytes, UnsentWrite};

/// Why a stream ends before its answer is sent.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the caller ended it: {0}")]
    ByCaller(Reason),
    #[error("HTTP/2: {0}")]
    Http2(#[from] h2::Error),
    #[error("the caller reads nothing")]
    Stalled,
    #[error("the answer broke off: {0}")]
    Answer(Status),
}

/// Waits for the answer and sends it. If the caller ends the stream, the future that makes the answer is dropped.
pub(super) async fn answer(
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
    mut respond: SendResponse<UnsentBytes>,
    mut write: UnsentWrite,
    backlog: Arc<Backlog>,
) {
    let sent = match made(answer, &mut respond).await {
        Ok(response) => send(response, &mut respond, &mut write, &backlog).await,
        Err(ended) => Err(ended),
    };
    if let Err(ended) = sent {
        tracing::debug!(%ended, "a stream ended before its answer was sent");
    }
}

async fn made(
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
    respond: &mut SendResponse<UnsentBytes>,
) -> Result<Response<Body>, Ended> {
    let mut answer = pin!(answer);
    poll_fn(|cx| {
        if let Poll::Ready(Ok(response)) = answer.as_mut().poll(cx) {
            return Poll::Ready(Ok(response));
        }
        let reason = ready!(respond.poll_reset(cx))?;
        Poll::Ready(Err(Ended::ByCaller(reason)))
    })
    .await
}

async fn send(
    response: Response<Body>,
    respond: &mut SendResponse<UnsentBytes>,
    write: &mut UnsentWrite,
    backlog: &Backlog,
) -> Result<(), Ended> {
    let (head, body) = response.into_parts();
    let is_all = body.is_end_stream();
    backlog.count(&head.headers);
    let stream = respond.send_response(Response::from_parts(head, ()), is_all)?;
    if is_all {
        return Ok(());
    }
    let mut answer = Answer { body, stream, write, backlog };
    let sent = answer.send().await;
    match sent {
        Err(Ended::Stalled) => answer.stream.send_reset(Reason::CANCEL),
        Err(Ended::Answer(_)) => answer.stream.send_reset(Reason::INTERNAL_ERROR),
        Ok(()) | Err(Ended::ByCaller(_) | Ended::Http2(_)) => {}
    }
    sent
}

/// An answer whose headers are sent.
struct Answer<'a> {
    body: Body,
    stream: SendStream<UnsentBytes>,
    write: &'a mut UnsentWrite,
    backlog: &'a Backlog,
}

impl Answer<'_> {
    async fn send(&mut self) -> Result<(), Ended> {
        while let Some(frame) = poll_fn(|cx| self.poll_frame(cx)).await? {
            match frame.into_data() {
                Ok(data) => self.send_data(data).await?,
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.backlog.count(&trailers);
                        return Ok(self.stream.send_trailers(trailers)?);
                    }
                }
            }
        }
        Ok(self.stream.send_data(UnsentBytes::empty(), true)?)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, Ended>> {
        if let Poll::Ready(reason) = self.stream.poll_reset(cx) {
            return Poll::Ready(Err(Ended::ByCaller(reason?)));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose();
        Poll::Ready(frame.map_err(Ended::Answer))
    }

    async fn send_data(&mut self, data: Bytes) -> Result<(), Ended> {
        let mut data = self.write.count(data);
        while data.has_remaining() {
            self.stream.reserve_capacity(data.remaining());
            let capacity = match self.stream.capacity() {
                0 => poll_fn(|cx| self.poll_capacity(cx)).await?,
                capacity => capacity,
            };
            if capacity >= data.remaining() {
                return Ok(self.stream.send_data(data, false)?);
            }
            self.stream.send_data(data.split_to(capacity), false)?;
        }
        Ok(())
    }

    /// How much the caller lets us send now, in bytes.
    fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Ended>> {
        if let Poll::Ready(reason) = self.stream.poll_reset(cx) {
            return Poll::Ready(Err(Ended::ByCaller(reason?)));
        }
        match self.stream.poll_capacity(cx) {
            Poll::Ready(Some(capacity)) => {
                self.write.goes_on();
                Poll::Ready(Ok(capacity?))
            }
            // The stream is no longer one that can be sent on.
            Poll::Ready(None) => Poll::Ready(Err(Ended::ByCaller(Reason::STREAM_CLOSED))),
            Poll::Pending => self.write.poll_given_up(cx).map(|()| Err(Ended::Stalled)),
        }
    }
}
