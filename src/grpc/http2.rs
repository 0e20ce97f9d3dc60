//! The server: connections of callers over HTTP/2, on the `h2` crate. tonic has a server too, which does not promise
//! this:
//! - At most so many connections are open. Callers beyond that are served as soon as one of the others is at rest.
//! - A connection on which nothing happens for long ends, and so does one that is old. Neither cuts a call.
//! - What waits to be sent is bounded. A caller who does not read loses only what they do not read.
//! - Windows bound what was received and is not read, for each stream and each connection.

mod accept;
mod backlog;
mod bounds;
mod connection;
mod connections;
mod media_type;
mod request_body;
mod socket;
mod stream;

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::Service;

pub use self::bounds::ConnectionsConfig;
use self::connection::Common;
use self::connections::Connections;
use super::unsent::Unsent;

/// How many calls one connection may have under way. Its client keeps further ones waiting.
pub const STREAMS_MAX: u32 = 1024;

/// How many bytes of a stream may arrive before they are read. A session whose answers are not read holds so many. It
/// is a quarter of the largest request.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// The same for a connection: every connection can make us hold so much. Calls are read at once, and so are sessions
/// whose answers are read. So this is room for four sessions that are not read from.
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;

/// What the frames of unread data may cost besides their bytes. h2 counts up to a quarter of a KiB for each, and ends
/// the connection when there are more. The shortest requests of a session cost eight times their bytes, if each has a
/// frame of its own.
const FRAMES_BYTES_MAX: usize = 8 * CONNECTION_WINDOW_BYTES as usize;

/// How many bytes of one stream h2 may hold. They wait only for the socket.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// The most bytes of a request's headers, counted as HTTP/2 does: for each its name, its value, and 32.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;

/// Serves until `stop`, then stops accepting and ends when every connection has ended: an idle one at once, others with
/// their last stream.
pub async fn serve<S>(
    service: S,
    listener: TcpListener,
    config: ConnectionsConfig,
    unsent: Unsent,
    stop: CancellationToken,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let connections = Connections::new(config.connections_max);
    let common = Arc::new(Common { builder: builder(), config, unsent, stop: stop.clone() });
    let tasks = TaskTracker::new();
    let accepting = async {
        loop {
            let stream = accept::next(&listener).await;
            let open = connections.enter(&common.unsent).await;
            tasks.spawn(connection::serve(stream, open, service.clone(), common.clone()));
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = accepting => {}
    }
    drop(listener);
    connections.ring();
    tasks.close();
    tasks.wait().await;
}

fn builder() -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .data_frame_budget(FRAMES_BYTES_MAX)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX);
    builder
}
