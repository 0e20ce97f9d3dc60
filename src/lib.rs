//! stockhold: gRPC inventory reservations.
//!
//! The modules in reading order. Each uses only those above it, and `tests/it/architecture.rs` checks that:
//!
//! - [`telemetry`]: how the logs are written.
//! - [`domain`]: the words and rules that need no store.
//! - [`holds`]: the holds' store, in Redis or in this process.
//! - [`ledger`]: supply and settled reservations, in MySQL or SQLite. `holds` and `ledger` do not know each other.
//! - [`service`]: the use cases, which are the protocol between the two stores.
//! - [`tasks`]: background work.
//! - [`grpc`]: the contract with callers. `tasks` and `grpc` do not know each other.
//! - [`config`], [`version`], [`app`]: settings, which build this is, and the service as a whole.
//! - [`cli`]: the command line, a client like any other apart from `serve` and `migrate`.
//! - [`signals`], [`run`]: the process.
//!
//! Deliberately absent: a stored counter of available units. They are derived, so they cannot drift.

pub mod telemetry;

pub mod domain;

pub mod holds;
pub mod ledger;

pub mod service;

pub mod tasks;

pub mod grpc;

pub mod config;
pub mod version;

pub mod app;

pub mod cli;

pub mod run;
pub mod signals;
