//! The service over the embedded stores, served in this process, with bounds of the test's own choice.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use prost::Message;
use stockhold::grpc::calls::{Calls, CallsConfig};
use stockhold::grpc::health::Health;
use stockhold::grpc::http2::{ConnectionsConfig, serve};
use stockhold::grpc::served::Served;
use stockhold::grpc::session::Sessions;
use stockhold::grpc::unsent::Unsent;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use super::service::LocalService;

/// Far more than any step takes.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// How long a session is read from once it is told to go.
const READ_ON: Duration = Duration::from_millis(100);

/// Longer than any test runs.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct ServedHere {
    pub(crate) address: SocketAddr,
    pub(crate) unsent: Unsent,
    it: LocalService,
    health: Option<Health>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl ServedHere {
    pub(crate) async fn start(connections: ConnectionsConfig, unsent_bytes_max: usize) -> Self {
        let it = LocalService::embedded().await;
        let (health, health_server) = Health::follow(it.service.clone()).await;
        let calls = Calls::new(&CallsConfig {
            concurrency_max: 1000,
            call_bytes_max: 64 << 20,
            unsent_bytes_max,
            deadline_max: BOUND,
        });
        let unsent = calls.unsent().clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let sessions = Sessions::until(stop.clone(), READ_ON, 100);
        let served = Served::new(&it.service, health_server, &calls, sessions, true).expect("the services");
        let server = tokio::spawn(serve(calls.layer(served), listener, connections, unsent.clone(), stop.clone()));
        Self { address, unsent, it, health: Some(health), stop, server }
    }

    /// Health says that nothing is served, and what watches it ends.
    pub(crate) async fn stop_health(&mut self) {
        self.health.take().expect("it is stopped once").stop().await;
    }

    pub(crate) async fn end(mut self) {
        if self.health.is_some() {
            self.stop_health().await;
        }
        self.stop.cancel();
        timeout(BOUND, self.server).await.expect("ends in time").expect("does not panic");
        self.it.ledger.close().await.expect("closes");
        self.it.database.remove().await;
    }
}

/// One connection, whose every frame is the test's own choice.
pub(crate) struct Http2 {
    pub(crate) calls: SendRequest<Bytes>,
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_as(address, &Builder::new()).await
    }

    pub(crate) async fn connect_as(address: SocketAddr, how: &Builder) -> Self {
        let stream = TcpStream::connect(address).await.expect("connects");
        let (calls, connection) = how.handshake(stream).await.expect("both speak HTTP/2");
        Self { calls, connection: tokio::spawn(connection) }
    }

    /// Connects, and reads only while the caller is not deaf.
    pub(crate) async fn connect_through(address: SocketAddr, how: &Builder, deaf: Arc<AtomicBool>) -> Self {
        let stream = TcpStream::connect(address).await.expect("connects");
        let (calls, connection) = how.handshake(Deaf { stream, deaf }).await.expect("both speak HTTP/2");
        Self { calls, connection: tokio::spawn(connection) }
    }

    /// Sends a request whose end is still to come.
    pub(crate) async fn begin(&mut self, path: &str) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let request = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        let mut calls = self.calls.clone().ready().await.expect("the connection is usable");
        calls.send_request(request, false).expect("is sent")
    }

    /// Sends a request, and waits for the headers of the answer.
    pub(crate) async fn ask(&mut self, path: &str, message: &impl Message) -> Result<RecvStream, h2::Error> {
        let (answer, mut requests) = self.begin(path).await;
        requests.send_data(framed(message), true)?;
        let answer = timeout(BOUND, answer).await.expect("an answer")?;
        assert_eq!(answer.status(), 200);
        Ok(answer.into_body())
    }

    /// Waits until the service has ended the connection, without an error.
    pub(crate) async fn ended(self) {
        // A client that could still call would keep it open.
        drop(self.calls);
        let ended = timeout(BOUND, self.connection).await.expect("the connection ends").expect("does not panic");
        ended.expect("it ends without an error");
    }
}

/// A socket that can be made to be read from no more.
struct Deaf {
    stream: TcpStream,
    deaf: Arc<AtomicBool>,
}

impl AsyncRead for Deaf {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.deaf.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Deaf {
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

/// A message as gRPC sends it.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).expect("it is not that long");
    [&[0][..], &length.to_be_bytes(), &message].concat().into()
}
