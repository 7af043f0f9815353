//! `anabranch console-consumer`: records on standard output, a line each, as `kafka-console-consumer` prints them.

mod formatter;
mod internal;
mod printer;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anabranch_client::{AutoOffsetReset, Client, Consumer, ConsumerConfig, OffsetSpec, TopicPartition};
use anyhow::{Context, Result, bail};
use clap::Args;

use crate::connect::{Connection, Pattern};
use printer::Printer;

/// What the command takes.
#[derive(Debug, Args)]
pub(crate) struct ConsoleConsumerArguments {
    #[command(flatten)]
    connection: Connection,
    /// The topic.
    #[arg(long, value_name = "NAME", conflicts_with = "include", required_unless_present = "include")]
    topic: Option<String>,
    /// A regular expression for topics.
    #[arg(long, alias = "whitelist", value_name = "REGEX")]
    include: Option<String>,
    /// One partition; without, all of them.
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    /// Where to begin in --partition: earliest, latest or a number.
    #[arg(long, value_name = "OFFSET", requires = "partition", allow_hyphen_values = true)]
    offset: Option<String>,
    /// Begin with the first record there is.
    #[arg(long)]
    from_beginning: bool,
    /// End after so many records.
    #[arg(long, value_name = "N")]
    max_messages: Option<u64>,
    /// End when no record has come for so long.
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// Read as a member of this group, and commit.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// read_uncommitted or read_committed.
    #[arg(long, value_name = "LEVEL")]
    isolation_level: Option<String>,
    /// Who makes lines of records: DefaultMessageFormatter, LoggingMessageFormatter (the same here), NoOpMessageFormatter,
    /// which prints nothing, or for the internal topics OffsetsMessageFormatter, GroupMetadataMessageFormatter and
    /// TransactionLogMessageFormatter; with their package or without.
    #[arg(long, value_name = "CLASS", default_value = "DefaultMessageFormatter", hide_default_value = true)]
    formatter: String,
    /// A file of properties of what is printed.
    #[arg(long, value_name = "FILE")]
    formatter_config: Option<PathBuf>,
    /// What is printed: print.key, print.value, print.timestamp, print.offset, print.epoch, print.partition,
    /// print.headers, key.separator, line.separator, headers.separator, null.literal, key.deserializer,
    /// value.deserializer, header.deserializer; may be given many times.
    #[arg(long = "formatter-property", alias = "property", value_name = "KEY=VALUE")]
    formatter_properties: Vec<String>,
    /// The same as `--formatter-property key.deserializer=CLASS`.
    #[arg(long, value_name = "CLASS")]
    key_deserializer: Option<String>,
    /// The same as `--formatter-property value.deserializer=CLASS`.
    #[arg(long, value_name = "CLASS")]
    value_deserializer: Option<String>,
    /// A setting of the consumer; may be given many times.
    #[arg(long = "command-property", alias = "consumer-property", value_name = "KEY=VALUE")]
    consumer_properties: Vec<String>,
    /// Go on after a record that its deserializer does not take.
    #[arg(long)]
    skip_message_on_error: bool,
    /// Say so on standard output when it has ended.
    #[arg(long)]
    enable_systest_events: bool,
    /// Print a JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: ConsoleConsumerArguments) -> Result<()> {
    let printer = Printer::new(&arguments)?;
    let (connection, config) = configure(&arguments)?;
    connection.run(async |client| {
        let begins = Begins { in_group: config.group_id.is_some(), reset: config.auto_offset_reset };
        let mut consumer = Consumer::new(&client, config)?;
        begin(&client, &mut consumer, &arguments, begins).await?;
        let count = print(&client, &mut consumer, &printer, &arguments).await;
        consumer.close().await?;
        eprintln!("Processed a total of {} messages", count?);
        if arguments.enable_systest_events {
            println!("shutdown_complete");
        }
        Ok(())
    })
}

/// The settings of the consumer, by options, properties and the file. Those that have an option must not say something else.
fn configure(arguments: &ConsoleConsumerArguments) -> Result<(Connection, ConsumerConfig)> {
    let mut config =
        ConsumerConfig { auto_offset_reset: AutoOffsetReset::Latest, ..ConsumerConfig::default() };
    let mut connection = arguments.connection.clone();
    let properties = ("--command-property", &arguments.consumer_properties[..]);
    let settings = [("isolation.level", arguments.isolation_level.clone())];
    let mut has_reset = false;
    connection.configure(&settings, properties, |key, value| {
        has_reset |= key == "auto.offset.reset";
        config.set(key, value)
    })?;
    if arguments.from_beginning {
        if has_reset && config.auto_offset_reset != AutoOffsetReset::Earliest {
            bail!("--from-beginning and another auto.offset.reset cannot both hold");
        }
        config.auto_offset_reset = AutoOffsetReset::Earliest;
    }
    if let Some(group) = &arguments.group {
        if let Some(other) = config.group_id.as_ref().filter(|other| *other != group) {
            bail!("the group is '{group}' by --group, and '{other}' by the settings of the consumer");
        }
        config.group_id = Some(group.clone());
    }
    config.enable_auto_commit &= config.group_id.is_some();
    config.validate()?;
    Ok((connection, config))
}

/// How the consumer begins, whatever said so.
#[derive(Clone, Copy)]
struct Begins {
    in_group: bool,
    reset: AutoOffsetReset,
}

/// Chooses what is read, and from where.
async fn begin(
    client: &Client,
    consumer: &mut Consumer,
    arguments: &ConsoleConsumerArguments,
    begins: Begins,
) -> Result<()> {
    let pattern =
        Pattern::new(arguments.topic.as_deref().or(arguments.include.as_deref()).unwrap_or_default())?;
    let is_wanted = |name: &str| match &arguments.topic {
        Some(topic) => topic == name,
        None => pattern.matches(name),
    };
    if begins.in_group && arguments.partition.is_none() {
        match &arguments.topic {
            Some(topic) => consumer.subscribe([topic])?,
            None => consumer.subscribe_matching(move |name| pattern.matches(name))?,
        }
        return Ok(());
    }
    // Outside a group all partitions are read from here on.
    let mut partitions = Vec::new();
    for topic in client.admin().list_topics().await? {
        if is_wanted(&topic.name) {
            let all = 0..topic.partitions.len() as i32;
            let wanted = all.filter(|index| arguments.partition.is_none_or(|partition| partition == *index));
            partitions.extend(wanted.map(|index| TopicPartition::new(topic.name.clone(), index)));
        }
    }
    if partitions.is_empty() {
        bail!("no such topic or partition");
    }
    consumer.assign(&partitions)?;
    let spec = match arguments.offset.as_deref() {
        None if begins.reset == AutoOffsetReset::Earliest => OffsetSpec::Earliest,
        None | Some("latest") => OffsetSpec::Latest,
        Some("earliest") => OffsetSpec::Earliest,
        Some(text) => {
            let offset: i64 = text
                .parse()
                .with_context(|| format!("--offset: '{text}' is neither earliest, latest nor a number"))?;
            for partition in &partitions {
                consumer.seek(partition, offset)?;
            }
            return Ok(());
        }
    };
    for partition in &partitions {
        match spec {
            OffsetSpec::Earliest => consumer.seek_to_beginning(partition)?,
            _ => consumer.seek_to_end(partition)?,
        }
    }
    Ok(())
}

async fn print(
    client: &Client,
    consumer: &mut Consumer,
    printer: &Printer,
    arguments: &ConsoleConsumerArguments,
) -> Result<u64> {
    let most = arguments.max_messages.unwrap_or(u64::MAX);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut count = 0;
    let mut last = client.host().now();
    while count < most {
        let polled = tokio::select! {
            biased;
            interrupted = client.host().interrupted() => {
                interrupted?;
                break;
            }
            polled = consumer.poll(Duration::from_millis(100)) => polled?,
        };
        for record in &polled.records {
            match printer.line(record) {
                Ok(line) => out.write_all(&line)?,
                Err(error) if arguments.skip_message_on_error => eprintln!("{error:#}"),
                Err(error) => {
                    out.flush()?;
                    return Err(error);
                }
            }
            count += 1;
            if count == most {
                break;
            }
        }
        out.flush()?;
        let now = client.host().now();
        if !polled.records.is_empty() {
            last = now;
        }
        let silent = now.saturating_duration_since(last);
        if arguments.timeout_ms.is_some_and(|timeout_ms| silent >= Duration::from_millis(timeout_ms)) {
            break;
        }
    }
    Ok(count)
}
