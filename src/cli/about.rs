//! `stockhold version` and `stockhold completions`: what the binary says of itself, without a service.

use std::process::ExitCode;

use clap::{Command, Subcommand};
use clap_complete::Shell;

use super::output::print;

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
    /// Prints it. `binary` is the command line that the completions are for.
    pub(super) fn run(self, binary: &mut Command) -> ExitCode {
        let text = match self {
            Self::Version => format!("stockhold {}\n", crate::version::VERSION),
            Self::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, binary, "stockhold", &mut script);
                String::from_utf8_lossy(&script).into_owned()
            }
        };
        print(text.trim_end(), ExitCode::SUCCESS)
    }
}
