//! The command line of Anabranch: `anabranch server` runs a broker, the other commands do what Kafka's tools do.
//!
//! One file per command. What goes wrong is one line on standard error that says what to do, and exit code 1; what the
//! broker logs goes to standard error too ([`logging`]).

mod loggers;
mod logging;
mod server;

mod connect;
mod date_format;
mod datetime;
mod deserializer;
mod internal_records;
mod output;
mod progress;
mod reset_target;
mod style;

mod configs;
mod console_consumer;
mod console_producer;
mod delete_records;
mod dump_log;
mod get_offsets;
mod groups;
mod perf;
mod storage;
mod streams;
mod topics;
mod transactions;

#[cfg(test)]
mod kafka_flags;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A broker that speaks the Kafka protocol, and tools for it.
#[derive(Debug, Parser)]
#[command(name = "anabranch", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker until ctrl-c or SIGTERM.
    Server(server::ServerArguments),
    /// Create, list, describe, alter and delete topics.
    Topics(topics::TopicsArguments),
    /// Describe and alter the settings of topics, brokers and groups, quotas, passwords and loggers.
    Configs(configs::ConfigsArguments),
    /// List, describe, reset and delete consumer groups.
    #[command(alias = "consumer-groups")]
    Groups(groups::GroupsArguments),
    /// Send the lines of standard input.
    #[command(alias = "produce")]
    ConsoleProducer(console_producer::ConsoleProducerArguments),
    /// Print records.
    #[command(alias = "consume")]
    ConsoleConsumer(console_consumer::ConsoleConsumerArguments),
    /// Print offsets of partitions.
    GetOffsets(get_offsets::GetOffsetsArguments),
    /// Delete records before an offset.
    DeleteRecords(delete_records::DeleteRecordsArguments),
    /// List and describe transactions, find those that hang, and end them.
    Transactions(transactions::TransactionsArguments),
    /// Look after applications of Kafka Streams, ours or Java's.
    #[command(subcommand)]
    Streams(streams::StreamsCommand),
    /// Print what lies in the files of a log.
    DumpLog(dump_log::DumpLogArguments),
    /// Make ids, format data directories and look at them.
    Storage(storage::StorageArguments),
    /// Measure how fast records are sent and read, and how long they take.
    #[command(subcommand)]
    Perf(perf::PerfCommand),
    /// The same as perf produce, by Kafka's name.
    #[command(hide = true)]
    ProducerPerfTest(perf::ProduceArguments),
    /// The same as perf consume, by Kafka's name.
    #[command(hide = true)]
    ConsumerPerfTest(perf::ConsumeArguments),
    /// The same as perf latency, by Kafka's name.
    #[command(hide = true)]
    EndToEndLatency(perf::LatencyArguments),
    /// Print the completions of a shell, for it to read at its start.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Prints what `shell` reads to complete the commands and flags of this program.
fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    // Written in one go: whoever reads only the start of it ends this program without a word.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "anabranch", &mut script);
    match std::io::stdout().write_all(&script) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// An error with its causes; one that the line tells already is not told again.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

/// Whether what clap tells is no error: help, that of a command without a word more, or a version.
fn is_answer(told: &clap::Error) -> bool {
    !told.use_stderr() || told.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

/// What is wrong with the words of a command, without the usage that clap tells with it.
fn usage_problem(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim);
    let told =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let line = told.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ").replace(" tip: ", "; ");
    line.strip_prefix("error: ").unwrap_or(&line).to_string()
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) if is_answer(&answer) => answer.exit(),
        Err(error) => {
            eprintln!("{} {}; see --help", style::failure("anabranch:"), usage_problem(&error));
            return ExitCode::FAILURE;
        }
    };
    let outcome = match &arguments.command {
        Command::Server(arguments) => logging::start(arguments.log_format, "info"),
        // Whoever uses a tool wants its output, and errors.
        _ => logging::start(logging::LogFormat::Text, "error"),
    };
    let outcome = outcome.and_then(|levels| run(arguments.command, levels));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {}", style::failure("anabranch:"), one_line(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, levels: loggers::Levels) -> anyhow::Result<()> {
    match command {
        Command::Server(arguments) => server::run(arguments, levels),
        Command::Topics(arguments) => topics::run(arguments),
        Command::Configs(arguments) => configs::run(arguments),
        Command::Groups(arguments) => groups::run(arguments),
        Command::Streams(command) => streams::run(command),
        Command::ConsoleProducer(arguments) => console_producer::run(arguments),
        Command::ConsoleConsumer(arguments) => console_consumer::run(arguments),
        Command::GetOffsets(arguments) => get_offsets::run(arguments),
        Command::DeleteRecords(arguments) => delete_records::run(arguments),
        Command::Transactions(arguments) => transactions::run(arguments),
        Command::DumpLog(arguments) => dump_log::run(arguments),
        Command::Storage(arguments) => storage::run(arguments),
        Command::Perf(command) => perf::run(command),
        Command::ProducerPerfTest(arguments) => arguments.run(),
        Command::ConsumerPerfTest(arguments) => arguments.run(),
        Command::EndToEndLatency(arguments) => arguments.run(),
        Command::Completions { shell } => completions(shell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_told_twice() {
        let refused = anyhow::anyhow!("refused").context("cannot connect: refused");
        assert_eq!(
            one_line(&refused.context("no broker answers")),
            "no broker answers: cannot connect: refused"
        );
    }

    #[test]
    fn wrong_words_are_told_in_one_line() {
        let check = |line: &str, expected: &str| {
            let error = Arguments::try_parse_from(line.split_whitespace()).unwrap_err();
            assert_eq!(usage_problem(&error), expected);
        };
        check(
            "anabranch topics --list --topik t",
            "unexpected argument '--topik' found; a similar argument exists: '--topic'",
        );
        check(
            "anabranch get-offsets --topic-partitions t:0 --topic t",
            "the argument '--topic-partitions <TOPIC:N,..>' cannot be used with '--topic <NAME>'",
        );
        check(
            "anabranch console-producer",
            "the following required arguments were not provided: --topic <NAME>",
        );
        check("anabranch topic", "unrecognized subcommand 'topic'; a similar subcommand exists: 'topics'");
    }

    #[test]
    fn a_command_alone_shows_its_help() {
        for words in
            [&["anabranch"][..], &["anabranch", "perf"], &["anabranch", "storage"], &["anabranch", "--help"]]
        {
            let told = Arguments::try_parse_from(words).expect_err("help");
            assert!(is_answer(&told), "{words:?}: {told}");
        }
        let wrong = Arguments::try_parse_from(["anabranch", "perf", "nothing"]).expect_err("no such command");
        assert!(!is_answer(&wrong));
    }

    #[test]
    fn commands_and_flags_are_well_defined() {
        Arguments::command().debug_assert();
    }
}
