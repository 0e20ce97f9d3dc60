//! The service as callers see it: `proto/` over HTTP/2. It turns requests into words of the domain, calls one use case
//! each, and turns answers and refusals back; it decides nothing about stock.

pub mod access;
mod activity;
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
pub mod http2;
mod many;
mod page_token;
mod pages;
pub mod peer;
mod permits;
mod reservation_request;
mod reservations;
pub mod served;
pub mod session;
mod status;
mod stock;
pub mod unsent;

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
