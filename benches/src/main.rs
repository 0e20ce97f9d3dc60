//! Measures stockhold against its peers and against the ceilings of its stores, in one run on one machine, so that all
//! figures can be compared.
//!
//! `cargo run --release -p stockhold-bench -- --quick --out DIR` takes at most five minutes; without `--quick` it is
//! the full one. `plan.rs` has what is measured, `targets.rs` what is expected. Every server is a process of its own:
//! this program again, with the name of a role as its first argument.

// This program is a test. It fails by a panic when its own servers misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod args;
mod before;
mod bench;
mod ceiling;
mod cell;
mod figures;
mod holds;
mod load;
mod machine;
mod meter;
mod notes;
mod pace;
mod peer;
mod plan;
mod report;
mod results;
mod shape;
mod stock;
mod system;
mod targets;
mod way;
mod workload;
mod world;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use stockhold::cli::Cli;
use tokio::runtime::{Builder, Runtime};

use crate::args::Arguments;
use crate::peer::PeerArgs;
use crate::peer::empty::Empty;
use crate::peer::mysql::MysqlPeer;
use crate::peer::seckill::SeckillPeer;
use crate::system::System;

// The allocator of the service's own binary, for all roles.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let role = std::env::args().nth(1).unwrap_or_default();
    match System::ALL.into_iter().find(|system| system.role() == role) {
        // As the service's own binary runs it.
        Some(System::Service) => stockhold::run::run(Cli::parse_or_exit()),
        Some(System::MysqlPeer) => peer(async |args| {
            let peer = MysqlPeer::open(&args.database_url).await?;
            peer::serve(args.listen, peer).await
        }),
        Some(System::SeckillPeer) => peer(async |args| {
            let peer = SeckillPeer::open(&args.redis_url, &args.database_url).await?;
            peer::serve(args.listen, peer).await
        }),
        Some(System::EmptyRpc) => peer(async |args| peer::serve(args.listen, Empty).await),
        None => {
            let arguments = Arguments::parse();
            runtime(arguments.client_threads).block_on(bench::bench(&arguments))
        }
    }
}

fn peer(serve: impl AsyncFnOnce(PeerArgs) -> Result<(), Box<dyn Error>>) -> ExitCode {
    match runtime(1).block_on(serve(PeerArgs::parse_or_exit())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The peer's log has this line.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// On few cores one thread does more than several that wake each other.
fn runtime(threads: usize) -> Runtime {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(threads).enable_all().build().expect("a runtime")
}
