//! One call of a running service: what a client command asks for, where it is sent, and what is printed.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use super::client::{Client, Connection};
use super::failure::Failure;
use super::output::{Output, print};

/// One call, and where to send it.
#[derive(Debug, Args)]
pub struct Call<T: Args> {
    #[command(flatten)]
    request: T,
    #[command(flatten)]
    connection: Connection,
}

/// What a client command does with the connection it is given.
pub(super) trait Execute: Args {
    /// Makes the calls and says what to print.
    async fn execute(self, client: &mut Client) -> Result<Output, Failure>;
}

/// Makes the call, and prints its answer or its error.
pub(super) async fn run<T: Execute>(call: Call<T>) -> ExitCode {
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
