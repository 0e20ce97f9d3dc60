//! Real servers, real faults: two instances of the service over Redis and MariaDB are hurt in every way that we know of
//! while callers go on, and every answer and both stores are audited against the invariants I1 to I8.
//!
//! `cargo run --profile proof -p stockhold-torture -- --seconds N --seed S` prints what happened by fault and ends with
//! `violations: 0`, or with all that went wrong. What faults and callers do is drawn from the seed: their order, how
//! long they last, what callers want. Ports are not, and time is not: how many orders a caller comes to, where a fault
//! meets them, and so what is answered differ each time.

// This program is a test: a panic is how it fails when its own servers do not do what they are told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod act;
mod audit;
mod caller;
mod client;
mod fault;
mod heal;
mod history;
mod instance;
mod order;
mod plan;
mod run;
mod table;
mod torture;
mod window;
mod world;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures::FutureExt;
use stockhold::cli::Cli;
use stockhold::signals::Signals;

/// Hurts the service in every way that we know of, and shows that it keeps its promises.
#[derive(Parser)]
struct Arguments {
    /// How long faults last, all together; each is done at least once, which takes about 100
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where all that is random comes from; without it a new one is drawn
    #[arg(long)]
    seed: Option<u64>,
    /// Only faults with this in their name; may be given several times
    #[arg(long)]
    only: Vec<String>,
}

fn main() -> ExitCode {
    // The instances are this program too.
    if std::env::args().nth(1).is_some_and(|command| command == "serve") {
        return stockhold::run::run(Cli::parse_or_exit());
    }
    torture_all()
}

#[tokio::main]
async fn torture_all() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed: {seed}");
    let home = tempfile::Builder::new().prefix("stockhold-torture.").tempdir().expect("a temporary folder").keep();
    let signals = Signals::listen().expect("signals can be listened to");
    let budget = Duration::from_secs(arguments.seconds);
    let torture = AssertUnwindSafe(torture::torture(&home, seed, budget, &arguments.only)).catch_unwind();
    let tortured = tokio::select! {
        // The panic hook has said what happened.
        tortured = torture => tortured.unwrap_or_else(|_| Err("the program broke down".to_owned())),
        () = signals.shutdown() => Err("interrupted".to_owned()),
    };
    match tortured {
        Ok(0) => {
            // What is left behind would only take space.
            let _ = std::fs::remove_dir_all(&home);
            println!("violations: 0");
            ExitCode::SUCCESS
        }
        Ok(violations) => {
            println!("the logs of all servers are in {}", home.display());
            println!("violations: {violations}");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("error: {error}; the logs of all servers are in {}", home.display());
            ExitCode::FAILURE
        }
    }
}
