//! `anabranch console-consumer`: records on standard output, a line each, as `kafka-console-consumer` prints them.

use std::io::Write;
use std::time::Duration;

use anabranch_client::{
    AutoOffsetReset, Client, Consumer, ConsumerConfig, ConsumerRecord, IsolationLevel, OffsetSpec,
    TopicPartition,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use crate::connect::{Connection, Pattern, parse_pair};

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
    #[arg(long, value_name = "LEVEL", default_value = "read_uncommitted")]
    isolation_level: String,
    /// What is printed: print.key, print.value, print.timestamp, print.offset, print.partition, print.headers,
    /// key.separator, line.separator, headers.separator, null.literal; may be given many times.
    #[arg(long = "formatter-property", alias = "property", value_name = "KEY=VALUE")]
    formatter_properties: Vec<String>,
    /// A setting of the consumer; may be given many times.
    #[arg(long = "command-property", alias = "consumer-property", value_name = "KEY=VALUE")]
    consumer_properties: Vec<String>,
    /// Print a JSON object a line.
    #[arg(long)]
    json: bool,
}

/// A record, as far as it can be shown.
#[derive(Debug)]
struct Shown<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl Shown<'_> {
    fn of(record: &ConsumerRecord) -> Shown<'_> {
        Shown {
            topic: &record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: record
                .headers()
                .into_iter()
                .flatten()
                .map(|header| (header.key, header.value))
                .collect(),
        }
    }
}

/// How a record becomes a line.
#[derive(Debug)]
struct Formatter {
    timestamp: bool,
    partition: bool,
    offset: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: String,
    line_separator: String,
    headers_separator: String,
    null_literal: String,
    json: bool,
}

impl Formatter {
    fn new(properties: &[String], json: bool) -> Result<Formatter> {
        let mut formatter = Formatter {
            timestamp: false,
            partition: false,
            offset: false,
            headers: false,
            key: false,
            value: true,
            key_separator: "\t".to_string(),
            line_separator: "\n".to_string(),
            headers_separator: ",".to_string(),
            null_literal: "null".to_string(),
            json,
        };
        for text in properties {
            let (key, value) = parse_pair(text)?;
            let is_true = value.trim().eq_ignore_ascii_case("true");
            match key.as_str() {
                "print.timestamp" => formatter.timestamp = is_true,
                "print.partition" => formatter.partition = is_true,
                "print.offset" => formatter.offset = is_true,
                "print.headers" => formatter.headers = is_true,
                "print.key" => formatter.key = is_true,
                "print.value" => formatter.value = is_true,
                "key.separator" => formatter.key_separator = value,
                "line.separator" => formatter.line_separator = value,
                "headers.separator" => formatter.headers_separator = value,
                "null.literal" => formatter.null_literal = value,
                other => bail!("--formatter-property: '{other}' is not known"),
            }
        }
        Ok(formatter)
    }

    fn write(&self, record: &Shown<'_>, out: &mut impl Write) -> std::io::Result<()> {
        if self.json {
            return self.write_json(record, out);
        }
        let null = self.null_literal.as_bytes();
        let mut fields: Vec<Vec<u8>> = Vec::new();
        if self.timestamp {
            let text = match record.timestamp {
                -1 => "NO_TIMESTAMP".to_string(),
                timestamp => format!("CreateTime:{timestamp}"),
            };
            fields.push(text.into_bytes());
        }
        if self.partition {
            fields.push(format!("Partition:{}", record.partition).into_bytes());
        }
        if self.offset {
            fields.push(format!("Offset:{}", record.offset).into_bytes());
        }
        if self.headers {
            let headers: Vec<Vec<u8>> = (record.headers.iter())
                .map(|(name, value)| [name.as_bytes(), b":", value.unwrap_or(null)].concat())
                .collect();
            let text = headers.join(self.headers_separator.as_bytes());
            fields.push(if text.is_empty() { b"NO_HEADERS".to_vec() } else { text });
        }
        if self.key {
            fields.push(record.key.unwrap_or(null).to_vec());
        }
        if self.value {
            fields.push(record.value.unwrap_or(null).to_vec());
        }
        out.write_all(&fields.join(self.key_separator.as_bytes()))?;
        out.write_all(self.line_separator.as_bytes())
    }

    fn write_json(&self, record: &Shown<'_>, out: &mut impl Write) -> std::io::Result<()> {
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let headers: Vec<_> =
            record.headers.iter().map(|(name, value)| json!([name, text(*value)])).collect();
        let line = json!({
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "headers": headers,
            "key": text(record.key),
            "value": text(record.value),
        });
        writeln!(out, "{line}")
    }
}

pub(crate) fn run(arguments: ConsoleConsumerArguments) -> Result<()> {
    let formatter = Formatter::new(&arguments.formatter_properties, arguments.json)?;
    let mut config = ConsumerConfig {
        group_id: arguments.group.clone(),
        enable_auto_commit: arguments.group.is_some(),
        isolation_level: match arguments.isolation_level.as_str() {
            "read_committed" => IsolationLevel::ReadCommitted,
            "read_uncommitted" => IsolationLevel::ReadUncommitted,
            other => bail!("--isolation-level: '{other}' is neither read_committed nor read_uncommitted"),
        },
        auto_offset_reset: match arguments.from_beginning {
            true => AutoOffsetReset::Earliest,
            false => AutoOffsetReset::Latest,
        },
        ..ConsumerConfig::default()
    };
    for text in &arguments.consumer_properties {
        let (key, value) = parse_pair(text)?;
        config.set(&key, &value)?;
    }
    arguments.connection.run(async |client| {
        let mut consumer = Consumer::new(&client, config)?;
        begin(&client, &mut consumer, &arguments).await?;
        let count = print(&client, &mut consumer, &formatter, &arguments).await;
        consumer.close().await?;
        eprintln!("Processed a total of {} messages", count?);
        Ok(())
    })
}

/// Chooses what is read, and from where.
async fn begin(client: &Client, consumer: &mut Consumer, arguments: &ConsoleConsumerArguments) -> Result<()> {
    let pattern =
        Pattern::new(arguments.topic.as_deref().or(arguments.include.as_deref()).unwrap_or_default())?;
    let is_wanted = |name: &str| match &arguments.topic {
        Some(topic) => topic == name,
        None => pattern.matches(name),
    };
    if arguments.group.is_some() && arguments.partition.is_none() {
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
        None if arguments.from_beginning => OffsetSpec::Earliest,
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
    formatter: &Formatter,
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
            formatter.write(&Shown::of(record), &mut out)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_line_of_what_was_asked_for() {
        let record = Shown {
            topic: "t",
            partition: 1,
            offset: 7,
            timestamp: 99,
            key: None,
            value: Some(b"v"),
            headers: vec![("h", Some(b"x")), ("g", None)],
        };
        let check = |properties: &[&str], json: bool, expected: &str| {
            let properties: Vec<String> = properties.iter().map(ToString::to_string).collect();
            let mut out = Vec::new();
            Formatter::new(&properties, json).unwrap().write(&record, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(&[], false, "v\n");
        check(&["print.key=true", "key.separator=|"], false, "null|v\n");
        let all = [
            "print.timestamp=true",
            "print.partition=true",
            "print.offset=true",
            "print.headers=true",
            "print.key=true",
            "null.literal=-",
        ];
        check(&all, false, "CreateTime:99\tPartition:1\tOffset:7\th:x,g:-\t-\tv\n");
        let json = r#"{"headers":[["h","x"],["g",null]],"key":null,"offset":7,"partition":1,"timestamp":99,"topic":"t","value":"v"}"#;
        check(&[], true, &format!("{json}\n"));
    }
}
