//! `anabranch streams`: applications as a whole.

mod reset;

use anyhow::Result;
use clap::Subcommand;

/// What can be done with an application.
#[derive(Debug, Subcommand)]
pub(crate) enum StreamsCommand {
    /// Let an application process its input anew: what `kafka-streams-application-reset` does.
    Reset(reset::ResetArguments),
}

pub(crate) fn run(command: StreamsCommand) -> Result<()> {
    match command {
        StreamsCommand::Reset(arguments) => reset::run(arguments),
    }
}
