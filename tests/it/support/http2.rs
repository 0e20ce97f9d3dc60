//! One HTTP/2 connection to the service. The test chooses every frame, and whether the caller reads at all.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::eventually;

/// Longer than any step of a test takes.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

pub(crate) struct Http2 {
    pub(crate) calls: SendRequest<Bytes>,
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_as(address, &Builder::new()).await
    }

    /// Connects with settings of the test's choice.
    pub(crate) async fn connect_as(address: SocketAddr, settings: &Builder) -> Self {
        Self::over(TcpStream::connect(address).await.expect("connects"), settings, Arc::default()).await
    }

    /// Connects, and reads from the socket only while `deaf` is false. The system takes little on its behalf.
    pub(crate) async fn connect_through(address: SocketAddr, settings: &Builder, deaf: Arc<AtomicBool>) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("is set");
        Self::over(socket.connect(address).await.expect("connects"), settings, deaf).await
    }

    async fn over(stream: TcpStream, settings: &Builder, deaf: Arc<AtomicBool>) -> Self {
        let (calls, connection) = settings.handshake(DeafSocket { stream, deaf }).await.expect("both speak HTTP/2");
        Self { calls, connection: tokio::spawn(connection) }
    }

    /// Sends the headers of a request. The request ends with them if `is_all`.
    pub(crate) async fn post(&mut self, path: &str, is_all: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        let mut calls = self.calls.clone().ready().await.expect("the connection is usable");
        calls.send_request(request, is_all).expect("is sent")
    }

    /// Sends a request, and waits for the headers of the answer.
    pub(crate) async fn ask(&mut self, path: &str, message: &impl Message) -> Result<RecvStream, h2::Error> {
        let (answer, mut requests) = self.post(path, false).await;
        requests.send_data(framed(&message.encode_to_vec()), true)?;
        let answer = timeout(BOUND, answer).await.expect("an answer")?;
        assert_eq!(answer.status(), 200);
        Ok(answer.into_body())
    }

    /// Waits until the service has ended the connection, without an error.
    pub(crate) async fn ended(self) {
        let calls = self.calls.clone();
        eventually("no call can be begun any more", BOUND, async || calls.clone().ready().await.is_err()).await;
        drop(calls);
        self.end().await;
    }

    /// Ends the connection, unless the service has ended it already. There must have been no error.
    pub(crate) async fn end(self) {
        // h2 keeps a connection open as long as a client has a handle for calls.
        drop(self.calls);
        let ended = timeout(BOUND, self.connection).await.expect("the connection ends").expect("does not panic");
        ended.expect("it ends without an error");
    }
}

/// A message as gRPC frames it: not compressed, its length, its bytes.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("it is short");
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

/// A socket that reads nothing while `deaf` is true.
struct DeafSocket {
    stream: TcpStream,
    deaf: Arc<AtomicBool>,
}

impl AsyncRead for DeafSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.deaf.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for DeafSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
