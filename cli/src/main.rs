//! The command line of Anabranch: `anabranch server` runs a broker.
//!
//! One file per command. What goes wrong is one line on standard error that says what to do, and exit code 1; what the
//! broker logs goes to standard error too ([`logging`]).

mod logging;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A broker that speaks the Kafka protocol, and tools for it.
#[derive(Debug, Parser)]
#[command(name = "anabranch", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker until ctrl-c or SIGTERM.
    Server(server::ServerArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let log_format = match &arguments.command {
        Command::Server(arguments) => arguments.log_format,
    };
    logging::start(log_format);
    let outcome = match arguments.command {
        Command::Server(arguments) => server::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("anabranch: {error:#}");
            ExitCode::FAILURE
        }
    }
}
