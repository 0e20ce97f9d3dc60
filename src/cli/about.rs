//! `stockhold version` and `stockhold completions`: what the binary says of itself, without a service.

use std::process::ExitCode;

use clap::{CommandFactory, Subcommand};
use clap_complete::Shell;

use super::{Cli, print};

/// The commands that need no service.
#[derive(Debug, Subcommand)]
pub enum AboutCommand {
    /// Print the version and the commit that this binary is built from
    Version,
    /// Print the completions of a shell, to be read by its start-up file
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl AboutCommand {
    /// Prints it.
    pub fn run(self) -> ExitCode {
        let text = match self {
            Self::Version => format!("stockhold {}\n", crate::version::VERSION),
            Self::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "stockhold", &mut script);
                String::from_utf8_lossy(&script).into_owned()
            }
        };
        print(text.trim_end(), ExitCode::SUCCESS)
    }
}
