//! What the `stockhold` binary does, apart from its `main`: other binaries of the workspace can be a `stockhold` too.

mod open_files;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::app::{self, AppError};
use crate::cli::{Cli, Command, run_about, run_client};
use crate::config::{MigrateArgs, ServeArgs};
use crate::signals::Signals;
use crate::telemetry::{self, chain};

/// A value on the command line or in the environment is wrong; clap ends with the same code.
const EXIT_USAGE: u8 = 2;

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    // Tests say in FAILPOINTS where the process shall crash.
    #[cfg(feature = "failpoints")]
    let _crash_points = fail::FailScenario::setup();
    let threads = match &cli.command {
        Command::Serve(args) => args.threads,
        Command::Migrate(_) | Command::Client(_) | Command::About(_) => 1,
    };
    let runtime = match runtime(threads) {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    let code = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve(*args).await,
            Command::Migrate(args) => migrate(args).await,
            Command::Client(command) => run_client(command).await,
            Command::About(command) => run_about(command),
        }
    });
    // A look-up of a name that hangs would keep the process from ending.
    runtime.shutdown_background();
    code
}

/// With one thread no call waits until another thread wakes up, which would take longer than most calls do.
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).enable_all().build()
}

async fn serve(args: ServeArgs) -> ExitCode {
    let mut config = match args.resolve() {
        Ok(config) => config,
        Err(error) => return usage(&error),
    };
    if let Err(error) = telemetry::init(config.log_format) {
        return usage(&error);
    }
    if let Err(error) = open_files::fit(&mut config) {
        return failed(&error);
    }
    let listener = match TcpListener::bind(config.listen).await {
        Ok(listener) => listener,
        Err(error) => return failed(&format!("cannot listen on {}: {error}", config.listen)),
    };
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&format!("cannot listen to signals: {error}")),
    };
    // It is boxed because it is large.
    ended(Box::pin(app::serve(config, listener, signals.shutdown())).await)
}

async fn migrate(args: MigrateArgs) -> ExitCode {
    if let Err(error) = telemetry::init(args.log_format) {
        return usage(&error);
    }
    match args.resolve() {
        Ok(config) => ended(app::migrate(&config).await),
        Err(error) => usage(&error),
    }
}

fn ended(result: Result<(), AppError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&chain(&error)),
    }
}

fn usage(error: &dyn Display) -> ExitCode {
    complain(error);
    ExitCode::from(EXIT_USAGE)
}

fn failed(error: &dyn Display) -> ExitCode {
    complain(error);
    ExitCode::FAILURE
}

fn complain(error: &dyn Display) {
    // If standard error is closed, there is no way left to tell.
    let _ = writeln!(std::io::stderr(), "error: {error}");
}
