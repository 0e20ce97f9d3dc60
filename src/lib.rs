//! stockhold: gRPC inventory reservations.
//!
//! In reading order, each module using only those above it (`tests/it/architecture.rs` holds it to that):
//!
//! - [`domain`]: the words and the rules that need no store.
//! - [`holds`]: the holds' store, in Redis or in this process.
//! - [`ledger`]: supply and settled reservations, in MySQL or SQLite. It does not know `holds`, nor `holds` it.
//! - [`service`]: the use cases, the protocol between the two stores.
//! - [`tasks`]: background work. It does not know `grpc`, nor `grpc` it.
//! - [`grpc`]: the contract with callers.
//! - [`config`], [`telemetry`], [`version`], [`app`]: settings, logs, which build this is, and the service as a whole.
//! - [`cli`]: the command line; but for `serve` and `migrate` it is a client like any other.
//! - [`signals`], [`run`]: the process.
//!
//! Deliberately absent: a counter of available units, anywhere. It is derived, so it cannot drift.

pub mod domain;

pub mod holds;
pub mod ledger;

pub mod service;

pub mod tasks;

pub mod grpc;

pub mod config;
pub mod telemetry;
pub mod version;

pub mod app;

pub mod cli;

pub mod run;
pub mod signals;
