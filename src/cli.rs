//! The command line: `serve` and `migrate` run the service; everything else is a client of a running one, so that
//! nobody needs another tool to try it or to look into it.
//!
//! Answers go to stdout, as tables or with `--json` as one JSON document, and errors to stderr. Exit codes: 0 done, 1
//! not done, 2 wrong usage.

mod args;
mod client;
mod failure;
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

/// gRPC inventory reservations: hold stock for a limited time, then make the deduction permanent or give it back.
#[derive(Debug, Parser)]
#[command(version = crate::version::VERSION, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// What the command line and the environment say. If that is nothing sensible, says so and ends the process with
    /// exit code 2.
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

/// One line for a wrong value; clap needs several, and does not tell when it comes from the environment.
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

/// The environment variable that stands for a flag.
fn variable_of(command: &clap::Command, flag: &str) -> Option<String> {
    let own = command.get_arguments().find(|argument| argument.get_long() == Some(flag));
    let own = own.and_then(|argument| Some(argument.get_env()?.to_string_lossy().into_owned()));
    own.or_else(|| command.get_subcommands().find_map(|command| variable_of(command, flag)))
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service
    Serve(ServeArgs),
    /// Bring the database's tables up to date and exit
    Migrate(MigrateArgs),
    /// Ask a running service.
    #[command(flatten)]
    Client(ClientCommand),
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
    /// Compare the two stores and repair the holds' store; a large location needs a longer --timeout; exit code 1 when
    /// a difference remains
    Reconcile(Call<stock::Reconcile>),
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
    }
}

async fn run<T: Execute>(call: Call<T>) -> ExitCode {
    match answer(call).await {
        Ok((text, exit_code)) => match writeln!(std::io::stdout(), "{text}") {
            Ok(()) => exit_code,
            // Whoever read our output, `head` say, has had enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => exit_code,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "error: cannot print the answer: {error}");
                ExitCode::FAILURE
            }
        },
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{failure}");
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

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
    }

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_readme_is_understood() {
        for line in [
            "stockhold serve",
            "stockhold migrate",
            "stockhold stock set sku-a=100 sku-b=50",
            "stockhold stock set sku-a=-5 --floor -20 --retired --expected-version 0 --request-id count-7",
            "stockhold stock adjust sku-a=+10 sku-b=-3 --reason receipt",
            "stockhold stock get sku-a sku-b",
            "stockhold stock list --addr 127.0.0.1:50051",
            "stockhold reserve order-1 sku-a=2 sku-b=1 --ttl 10m --location berlin --json",
            "stockhold confirm order-1",
            "stockhold confirm order-1 sku-a=1 --reacquire --timeout 500ms",
            "stockhold cancel order-1",
            "stockhold extend order-1 --by 5m",
            "stockhold extend order-1 --until 2026-11-22T16:00:00Z --reacquire",
            "stockhold show order-1",
            "stockhold reservations --sku sku-a",
            "stockhold reconcile --validate-only",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).expect_err("it failed"));
        }
    }

    #[test]
    fn wrong_usage_is_refused_before_anything_is_sent() {
        for (line, kind) in [
            ("stockhold", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("stockhold stock set", ErrorKind::MissingRequiredArgument),
            ("stockhold stock set sku-a", ErrorKind::ValueValidation),
            ("stockhold stock set sku-a=many", ErrorKind::ValueValidation),
            ("stockhold stock adjust sku-a=+10", ErrorKind::MissingRequiredArgument),
            ("stockhold stock get", ErrorKind::MissingRequiredArgument),
            ("stockhold reserve order-1", ErrorKind::MissingRequiredArgument),
            ("stockhold reserve order-1 sku-a=-1", ErrorKind::ValueValidation),
            ("stockhold reserve order-1 sku-a=1 --ttl soon", ErrorKind::ValueValidation),
            ("stockhold reserve order-1 sku-a=1 --addr ftp://host:1", ErrorKind::ValueValidation),
            ("stockhold reserve order-1 sku-a=1 --timeout 0s", ErrorKind::ValueValidation),
            ("stockhold extend order-1", ErrorKind::MissingRequiredArgument),
            ("stockhold extend order-1 --by 5m --until 2026-11-22T16:00:00Z", ErrorKind::ArgumentConflict),
            ("stockhold serve --json", ErrorKind::UnknownArgument),
        ] {
            assert_eq!(parse(line).map_err(|error| error.kind()).err(), Some(kind), "{line}");
        }
    }
}
