//! Real servers and real faults. Two instances of the service run over Redis and MariaDB, and callers go on while each
//! known fault strikes. Every answer and both stores are audited against the invariants I1 to I8.
//!
//! `cargo run --profile proof -p stockhold-torture -- --seconds N --seed S` prints what happened by fault and ends with
//! `violations: 0`, or with all that went wrong. The seed decides what faults and callers do: their order, how long
//! they last, what callers want. It does not decide ports and timing. So the number of orders, the moment at which a
//! fault meets them, and the answers differ from run to run.

// This program is a test. A panic is how it fails when its own servers do not do what they are told.
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

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures::FutureExt;
use stockhold::cli::Cli;
use stockhold::signals::Signals;

/// Hurts the service with every known fault, and shows that it keeps its promises.
#[derive(Parser)]
struct Arguments {
    /// How long faults last, all together; each is done at least once, which takes about 100
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The seed of every random choice; without it a new one is drawn
    #[arg(long)]
    seed: Option<u64>,
    /// Only faults with this in their name; may be given several times
    #[arg(long)]
    only: Vec<String>,
    /// Only so many faults, drawn by the seed
    #[arg(long)]
    faults: Option<NonZeroUsize>,
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
    let torture =
        AssertUnwindSafe(torture::torture(&home, seed, budget, &arguments.only, arguments.faults)).catch_unwind();
    let tortured = tokio::select! {
        // The panic hook has printed the cause.
        tortured = torture => tortured.unwrap_or_else(|_| Err("the program broke down".to_owned())),
        () = signals.shutdown() => Err("interrupted".to_owned()),
    };
    match tortured {
        Ok(0) => {
            // Failing to remove the folder harms nothing.
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
