//! The command line. `serve` and `migrate` run the service. Nearly everything else is a client of a running service, so
//! that trying it and looking into it take no other tool.
//!
//! Answers go to stdout and errors to stderr: as text, or with `--json` as one JSON document. Exit codes: 0 done, 1 not
//! done, 2 wrong usage.

mod about;
mod args;
mod call;
mod client;
mod failure;
mod health;
mod output;
mod reservations;
mod stock;
mod table;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{MigrateArgs, ServeArgs};
use call::{Call, run};

pub use about::AboutCommand;

/// gRPC inventory reservations: hold stock for a limited time, then make the deduction permanent or give it back.
#[derive(Debug, Parser)]
#[command(version = crate::version::VERSION, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the command line and the environment. A wrong one ends the process with a message and exit code 2.
    pub fn parse_or_exit() -> Self {
        Self::try_parse().unwrap_or_else(|error| match wrong_value(&error) {
            Some(line) => {
                let _ = writeln!(std::io::stderr(), "{line}");
                std::process::exit(error.exit_code())
            }
            None => error.exit(),
        })
    }
}

/// One line for a wrong value. clap's own message takes several, and does not say that a value came from the
/// environment.
fn wrong_value(error: &clap::Error) -> Option<String> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};

    if ![ErrorKind::ValueValidation, ErrorKind::InvalidValue, ErrorKind::ArgumentConflict].contains(&error.kind()) {
        return None;
    }
    let text = error.to_string();
    let line = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return Some(line) };
    let flag = argument.split(' ').next().unwrap_or_default();
    let on_the_command_line = |word: String| word == flag || word.starts_with(&format!("{flag}="));
    match variable_of(&Cli::command(), flag.trim_start_matches('-')) {
        Some(variable) if !std::env::args().any(on_the_command_line) => Some(format!("{line} (from {variable})")),
        _ => Some(line),
    }
}

/// The environment variable of a flag.
fn variable_of(command: &clap::Command, flag: &str) -> Option<String> {
    let own = command.get_arguments().find(|argument| argument.get_long() == Some(flag));
    let own = own.and_then(|argument| Some(argument.get_env()?.to_string_lossy().into_owned()));
    own.or_else(|| command.get_subcommands().find_map(|command| variable_of(command, flag)))
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service
    Serve(Box<ServeArgs>),
    /// Bring the database's tables up to date and exit
    Migrate(MigrateArgs),
    /// Calls a running service.
    #[command(flatten)]
    Client(ClientCommand),
    /// Needs no service.
    #[command(flatten)]
    About(AboutCommand),
}

/// The commands that call a running service; [`run_client`] runs them.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Count, change and read stock
    #[command(subcommand)]
    Stock(stock::Stock),
    /// Hold stock for a limited time, all lines or none
    Reserve(Call<reservations::Reserve>),
    /// Make a reservation's deduction permanent
    Confirm(Call<reservations::Confirm>),
    /// Give a reservation's stock back, for good
    Cancel(Call<reservations::Cancel>),
    /// Move a reservation's expire time later
    Extend(Call<reservations::Extend>),
    /// Show what became of a reservation
    Show(Call<reservations::Show>),
    /// List the live reservations: who holds my stock?
    Reservations(Call<reservations::List>),
    /// Compare the two stores and repair the holds' store
    ///
    /// A large location takes longer than the default --timeout. The exit code is 1 when a difference remains.
    Reconcile(Call<stock::Reconcile>),
    /// Ask which services a running server can serve at the moment
    ///
    /// The name (server) stands for the server as a whole. The exit code is 1 unless all of them are SERVING.
    Health(Call<health::Health>),
}

/// Runs one client command to its end and prints its answer or its error.
pub async fn run_client(command: ClientCommand) -> ExitCode {
    use stock::Stock;

    match command {
        ClientCommand::Stock(Stock::Set(call)) => run(call).await,
        ClientCommand::Stock(Stock::Adjust(call)) => run(call).await,
        ClientCommand::Stock(Stock::Get(call)) => run(call).await,
        ClientCommand::Stock(Stock::List(call)) => run(call).await,
        ClientCommand::Reserve(call) => run(call).await,
        ClientCommand::Confirm(call) => run(call).await,
        ClientCommand::Cancel(call) => run(call).await,
        ClientCommand::Extend(call) => run(call).await,
        ClientCommand::Show(call) => run(call).await,
        ClientCommand::Reservations(call) => run(call).await,
        ClientCommand::Reconcile(call) => run(call).await,
        ClientCommand::Health(call) => run(call).await,
    }
}

/// Prints what the binary says of itself.
pub fn run_about(command: AboutCommand) -> ExitCode {
    command.run(&mut Cli::command())
}

#[cfg(test)]
mod tests;
