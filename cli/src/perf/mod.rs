//! `anabranch perf`: how fast records are sent and read, and how long one is on its way, with the flags and lines of Kafka's
//! tools; these are also there by Kafka's names.

mod consume;
mod latencies;
mod latency;
mod payload;
mod produce;
mod stretch;

use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;

pub(crate) use consume::ConsumeArguments;
pub(crate) use latency::LatencyArguments;
pub(crate) use produce::ProduceArguments;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum PerfCommand {
    /// How fast records are sent.
    Produce(ProduceArguments),
    /// How fast records are read.
    Consume(ConsumeArguments),
    /// How long a record takes from its producer to a consumer, one at a time.
    Latency(LatencyArguments),
}

pub(crate) fn run(command: PerfCommand) -> Result<()> {
    match command {
        PerfCommand::Produce(arguments) => arguments.run(),
        PerfCommand::Consume(arguments) => arguments.run(),
        PerfCommand::Latency(arguments) => arguments.run(),
    }
}

/// Why no metrics are printed.
const NO_METRICS: &str = "the client counts nothing; what the broker counts is at its /metrics";

const MIB: f64 = 1024.0 * 1024.0;

fn speed(count: u64, bytes: u64, elapsed: Duration) -> (f64, f64) {
    let seconds = elapsed.as_secs_f64().max(0.001);
    (count as f64 / seconds, bytes as f64 / seconds / MIB)
}
