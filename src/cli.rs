//! The command line. `serve` and `migrate` run the service. Nearly everything else is a client of a running service, so
//! that trying it and looking into it take no other tool.
//!
//! Answers go to stdout and errors to stderr: as text, or with `--json` as one JSON document. Exit codes: 0 done, 1 not
//! done, 2 wrong usage.

mod about;
mod args;
mod client;
mod failure;
mod health;
mod output;
mod reservations;
mod stock;
mod table;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{MigrateArgs, ServeArgs};
use client::{Client, Connection};
use failure::Failure;
use output::Output;

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

/// One call, and where to send it.
#[derive(Debug, Args)]
pub struct Call<T: Args> {
    #[command(flatten)]
    request: T,
    #[command(flatten)]
    connection: Connection,
}

/// What a client command does with the connection it is given.
trait Execute: Args {
    /// Makes the calls and says what to print.
    async fn execute(self, client: &mut Client) -> Result<Output, Failure>;
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

async fn run<T: Execute>(call: Call<T>) -> ExitCode {
    let json = call.connection.json;
    match answer(call).await {
        Ok((text, exit_code)) => print(&text, exit_code),
        Err(failure) => {
            let text = if json { failure.to_json() } else { failure.to_string() };
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

async fn answer<T: Execute>(call: Call<T>) -> Result<(String, ExitCode), Failure> {
    let mut client = Client::connect(&call.connection).await?;
    let output = call.request.execute(&mut client).await?;
    let exit_code = output.exit_code;
    Ok((if call.connection.json { output.into_json()? } else { output.text }, exit_code))
}

/// Prints a text and ends with `exit_code`, unless it cannot be printed.
fn print(text: &str, exit_code: ExitCode) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => exit_code,
        // The reader of our output, such as `head`, has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit_code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: cannot print the answer: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests;
