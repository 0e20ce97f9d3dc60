//! Logs, on standard error.

pub mod ration;

use std::error::Error;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The levels unless RUST_LOG sets others. Migrations log each of their steps, and fred logs each lost connection in
/// the debug form of Rust. This service logs what an operator needs to know of both.
const DEFAULT_LEVELS: &str = "info,sea_orm_migration=warn,fred=error";

/// h2 warns of each connection whose peer breaks the rules, and callers can open any number of them. The server counts
/// them instead. What `RUST_LOG` says of h2 comes later and wins.
const QUIET: &str = "h2=error";

/// Starts logging at the levels of `RUST_LOG`, `info` where it says nothing. The error names what is wrong with it.
pub fn init(format: LogFormat) -> Result<(), String> {
    let levels = std::env::var("RUST_LOG").ok().filter(|levels| !levels.trim().is_empty());
    let levels = EnvFilter::builder()
        .parse(format!("{QUIET},{}", levels.as_deref().unwrap_or(DEFAULT_LEVELS)))
        .map_err(|error| format!("RUST_LOG: {error}"))?;
    // A log that cannot be written, for example to a full disk, must not stop the service. A message about it on the
    // same standard error would.
    let logs =
        tracing_subscriber::fmt().log_internal_errors(false).with_env_filter(levels).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
    started.map_err(|error| error.to_string())?;
    log_panics();
    Ok(())
}

/// A panic in a call is logged in that call's span, and so under its request id.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a bug")));
}

/// An error and all its causes, in one line. Many errors tell their cause already; it is told once.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut told = error.to_string();
    for cause in std::iter::successors(error.source(), |&error| error.source()) {
        let cause = cause.to_string();
        if !told.ends_with(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}
