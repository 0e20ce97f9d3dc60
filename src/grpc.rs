//! The service as callers see it: `proto/` over HTTP/2. It turns requests into words of the domain, calls one use case
//! each, and turns answers and refusals back; it decides nothing about stock.

pub mod access;
mod answer;
mod call_id;
pub mod calls;
mod checked;
pub mod codec;
mod exempt;
mod fields;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod guard;
pub mod health;
pub mod incoming;
mod many;
mod page_token;
pub mod peer;
mod permits;
mod reservation_request;
mod reservations;
pub mod served;
pub mod session;
mod status;
mod stock;

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use calls::Calls;
use served::Served;

/// Messages, servers and clients, generated from `proto/stockhold/v1/`, where everything is documented.
#[allow(missing_docs, unreachable_pub, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("stockhold.v1");
}

/// The descriptors of `proto/` and all it imports, an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stockhold.v1.bin"));

/// The most bytes of a request. The largest legal ones, 1000 lines or skus of 128 bytes, need a little more than half
/// of it.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// The largest `page_size`.
pub const PAGE_SIZE_MAX: i32 = 1000;

/// A peer that vanished without a word is noticed after this and [`KEEPALIVE_TIMEOUT`].
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// How long a peer may take to answer a ping.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls that one connection may have under way. Its client keeps further ones waiting.
const STREAMS_MAX: u32 = 1024;

/// What a stream may send ahead of being read, in bytes, so that a session which is not read from does not use up what
/// the whole connection may send.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// The same of a connection. h2 takes a quarter of a KiB for each unread frame, however short, and breaks the
/// connection off when half of this is used up: a session's window full of the shortest requests, each in a frame of
/// its own as it is sent by callers who come one by one, takes half a MiB.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// How long a peer may take, from when it is accepted, to say the first words of HTTP/2. It does so at once when there
/// is one at all.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until `stop`, then stops accepting and ends when every connection has ended: an idle one at once, others with
/// their last stream.
pub async fn serve(
    served: Served,
    calls: Calls,
    listener: TcpListener,
    connections_max: usize,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let incoming = incoming::connections(listener, connections_max, PREFACE_TIMEOUT);
    Server::builder()
        .max_concurrent_streams(Some(STREAMS_MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(calls)
        .serve_with_incoming_shutdown(served, incoming, stop.cancelled_owned())
        .await
}
