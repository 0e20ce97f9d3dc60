//! The `stockhold` binary: a server, and a client of it.

use std::process::ExitCode;

use stockhold::cli::Cli;
use stockhold::run::run;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(Cli::parse_or_exit())
}
