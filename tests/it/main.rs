//! Tests against real stores and running servers, one binary for all. `tests/run` starts the servers and says where
//! they are; a test that needs one fails when it is not told, so that none is skipped silently.

// The lint configuration lets tests do this; their helpers are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod architecture;
mod bad_input;
mod batched_holds;
mod clients;
mod command_line;
mod connections;
mod crowding;
mod docs;
mod filling;
mod floods;
mod framing;
mod holds_contract;
mod instances;
mod ledger_contract;
mod lua_specification;
mod malformed;
mod many;
mod open_files;
mod pressure;
mod process;
mod protocol;
mod redis_cluster;
mod redis_holds;
mod rpc;
mod secrets;
mod serving;
mod session_client;
mod sessions;
mod simulation;
mod support;
mod sync;
