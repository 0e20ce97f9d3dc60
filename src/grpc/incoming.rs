//! Connections, at most so many at once. Callers beyond that wait in the listener's backlog. When this process runs out
//! of file descriptors, accepting pauses: tonic's own loop would spin. A peer that connects and does not begin to speak
//! HTTP/2 loses its connection: keepalive would not notice it, for that begins with HTTP/2.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::transport::server::Connected;

use super::peer::Peer;

/// Long enough for some connections to end, short enough for those that wait.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What every client of HTTP/2 says first, `PRI * HTTP/2.0` and so on, has so many bytes.
const PREFACE_BYTES: usize = 24;

/// A connection, and its place among those that may be open.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: Peer,
    /// None once the peer has begun to speak.
    preface: Option<Preface>,
    _place: OwnedSemaphorePermit,
}

/// What is still to come before the peer counts as a client.
#[derive(Debug)]
struct Preface {
    bytes: usize,
    deadline: Pin<Box<Sleep>>,
}

/// Accepts for ever; dropping the stream closes the listener. A peer has `preface_timeout` to begin.
pub fn connections(
    listener: TcpListener,
    connections_max: usize,
    preface_timeout: Duration,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(connections_max));
    futures::stream::unfold((listener, places), move |(listener, places)| async move {
        let place = match places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                tracing::warn!(connections_max, "no further connection is accepted until one ends");
                // The semaphore is never closed; if it were, accepting would end.
                places.clone().acquire_owned().await.ok()?
            }
        };
        let stream = accept(&listener).await;
        let preface = Preface { bytes: PREFACE_BYTES, deadline: Box::pin(tokio::time::sleep(preface_timeout)) };
        Some((
            Ok(Connection { stream, peer: Peer::accepted(), preface: Some(preface), _place: place }),
            (listener, places),
        ))
    })
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // A small answer must not wait for the acknowledgement of the one before.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection refuses TCP_NODELAY");
                }
                return stream;
            }
            // The peer gave up while it waited.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections, pausing");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let filled = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(preface) = &mut self.preface {
            preface.bytes = preface.bytes.saturating_sub(buf.filled().len() - filled);
            if preface.bytes == 0 {
                self.preface = None;
            } else if read.is_pending() {
                return preface.deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PREFACE: &[u8; PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// So short that it passes during the test, or so long that it does not.
    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);

    async fn listen() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.expect("a free port")
    }

    #[tokio::test]
    async fn who_does_not_begin_makes_room_for_others() {
        for said in [&b""[..], &PREFACE[..1], &PREFACE[..PREFACE_BYTES - 1]] {
            let listener = listen().await;
            let address = listener.local_addr().expect("an address");
            let mut connections = pin!(connections(listener, 1, SHORT));
            let mut silent = TcpStream::connect(address).await.expect("connects");
            silent.write_all(said).await.expect("is sent");
            let _waits = TcpStream::connect(address).await.expect("waits in the backlog");

            let mut accepted = connections.next().await.expect("never ends").expect("accepts");
            let error = accepted.read_exact(&mut [0; PREFACE_BYTES]).await.expect_err("the preface is not complete");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{said:?}");
            drop(accepted);
            connections.next().await.expect("never ends").expect("the place is free");
        }
    }

    #[tokio::test]
    async fn who_has_begun_may_be_silent() {
        let listener = listen().await;
        let address = listener.local_addr().expect("an address");
        let mut connections = pin!(connections(listener, 1, LONG));
        let mut client = TcpStream::connect(address).await.expect("connects");
        let mut accepted = connections.next().await.expect("never ends").expect("accepts");
        for part in PREFACE.chunks(10) {
            assert!(accepted.preface.is_some());
            client.write_all(part).await.expect("is sent");
            accepted.read_exact(&mut vec![0; part.len()]).await.expect("is read");
        }
        assert!(accepted.preface.is_none(), "from here on it is keepalive that watches");
    }
}
