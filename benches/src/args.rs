//! The arguments of the bench.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Measures stockhold against its peers and against the ceilings of what it stands on
#[derive(Parser)]
pub(crate) struct Arguments {
    /// Fewer and shorter cells: at most five minutes
    #[arg(long)]
    pub(crate) quick: bool,
    /// The folder for results.json, table.md and the plots
    #[arg(long, default_value = "bench-results")]
    pub(crate) out: PathBuf,
    /// Only cells with this in their name
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) only: String,
    /// How often every cell is measured
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// How long a cell is measured
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Threads of the load generator
    #[arg(long, value_name = "N", default_value = "1", value_parser = threads)]
    pub(crate) client_threads: usize,
}

impl Arguments {
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 })
    }

    pub(crate) fn measured(&self) -> Duration {
        self.seconds.unwrap_or(Duration::from_millis(if self.quick { 1200 } else { 8000 }))
    }

    /// Opening connections, filling caches and loading scripts takes much less.
    pub(crate) fn warm_up(&self) -> Duration {
        self.measured() / 3
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if seconds >= 0.1 { Ok(Duration::from_secs_f64(seconds)) } else { Err("must be at least 0.1".to_owned()) }
}

fn threads(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|threads| (1..=64).contains(threads)).ok_or_else(|| "must be 1 to 64".to_owned())
}
