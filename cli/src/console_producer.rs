//! `anabranch console-producer`: a record for each line of standard input, as `kafka-console-producer` makes them.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anyhow::{Context, Result, bail};
use clap::Args;

use crate::connect::{Connection, ignored, parse_pair, read_properties};

/// What the command takes.
#[derive(Debug, Args)]
pub(crate) struct ConsoleProducerArguments {
    #[command(flatten)]
    connection: Connection,
    /// The topic.
    #[arg(long, value_name = "NAME")]
    topic: String,
    /// How lines are read: parse.key, key.separator, parse.headers, headers.delimiter, headers.separator,
    /// headers.key.separator, null.marker, ignore.error; may be given many times.
    #[arg(long = "reader-property", alias = "property", value_name = "KEY=VALUE")]
    reader_properties: Vec<String>,
    /// A file of properties of how lines are read.
    #[arg(long, value_name = "FILE")]
    reader_config: Option<PathBuf>,
    /// Who reads lines; there is only Kafka's LineMessageReader.
    #[arg(long, value_name = "CLASS")]
    line_reader: Option<String>,
    /// A setting of the producer; may be given many times.
    #[arg(long = "command-property", alias = "producer-property", value_name = "KEY=VALUE")]
    producer_properties: Vec<String>,
    /// none, gzip, snappy, lz4 or zstd; gzip if no codec follows.
    #[arg(long, alias = "compression-type", value_name = "CODEC", num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<String>,
    /// Wait for each record.
    #[arg(long)]
    sync: bool,
    #[command(flatten)]
    settings: SettingArguments,
}

/// Settings of the producer that have options of their own.
#[derive(Debug, Args)]
struct SettingArguments {
    /// batch.size
    #[arg(long, alias = "max-partition-memory-bytes", value_name = "BYTES")]
    batch_size: Option<String>,
    /// buffer.memory
    #[arg(long, value_name = "BYTES")]
    max_memory_bytes: Option<String>,
    /// max.block.ms
    #[arg(long, value_name = "MS")]
    max_block_ms: Option<String>,
    /// retries
    #[arg(long, value_name = "N")]
    message_send_max_retries: Option<String>,
    /// metadata.max.age.ms
    #[arg(long, value_name = "MS")]
    metadata_expiry_ms: Option<String>,
    /// Who must have a record: all (-1); who asks for fewer gets no fewer.
    #[arg(long, value_name = "ACKS", allow_hyphen_values = true)]
    request_required_acks: Option<String>,
    /// request.timeout.ms
    #[arg(long, value_name = "MS")]
    request_timeout_ms: Option<String>,
    /// retry.backoff.ms
    #[arg(long, value_name = "MS")]
    retry_backoff_ms: Option<String>,
    /// linger.ms
    #[arg(long, value_name = "MS")]
    timeout: Option<String>,
    /// Ignored: the operating system chooses.
    #[arg(long, value_name = "BYTES")]
    socket_buffer_size: Option<String>,
}

impl SettingArguments {
    /// By the producer's keys.
    fn by_key(&self) -> Result<Vec<(&'static str, Option<String>)>> {
        ignored("--socket-buffer-size", &self.socket_buffer_size, "the operating system chooses");
        match self.request_required_acks.as_deref() {
            None | Some("all" | "-1") => {}
            Some(fewer @ ("0" | "1")) => {
                eprintln!("--request-required-acks {fewer}: records are acknowledged by all, as always here");
            }
            Some(other) => bail!("--request-required-acks: '{other}' is none of all, -1, 0, 1"),
        }
        Ok(vec![
            ("batch.size", self.batch_size.clone()),
            ("buffer.memory", self.max_memory_bytes.clone()),
            ("max.block.ms", self.max_block_ms.clone()),
            ("retries", self.message_send_max_retries.clone()),
            ("metadata.max.age.ms", self.metadata_expiry_ms.clone()),
            ("request.timeout.ms", self.request_timeout_ms.clone()),
            ("retry.backoff.ms", self.retry_backoff_ms.clone()),
            ("linger.ms", self.timeout.clone()),
        ])
    }
}

/// How a line becomes a record.
#[derive(Debug)]
struct LineReader {
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: String,
    headers_key_separator: String,
    null_marker: Option<String>,
    ignore_error: bool,
}

/// A record as it stands in a line.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    key: Option<&'a str>,
    value: Option<&'a str>,
    headers: Vec<(&'a str, Option<&'a str>)>,
}

impl LineReader {
    fn new(properties: &[(String, String)]) -> Result<LineReader> {
        let mut reader = LineReader {
            parse_key: false,
            key_separator: "\t".to_string(),
            parse_headers: false,
            headers_delimiter: "\t".to_string(),
            headers_separator: ",".to_string(),
            headers_key_separator: ":".to_string(),
            null_marker: None,
            ignore_error: false,
        };
        for (key, value) in properties {
            let is_true = value.trim().eq_ignore_ascii_case("true");
            let value = || value.clone();
            match key.as_str() {
                "parse.key" => reader.parse_key = is_true,
                "key.separator" => reader.key_separator = value(),
                "parse.headers" => reader.parse_headers = is_true,
                "headers.delimiter" => reader.headers_delimiter = value(),
                "headers.separator" => reader.headers_separator = value(),
                "headers.key.separator" => reader.headers_key_separator = value(),
                "null.marker" => reader.null_marker = Some(value()),
                "ignore.error" => reader.ignore_error = is_true,
                other => bail!("--reader-property: '{other}' is not known"),
            }
        }
        Ok(reader)
    }

    fn read<'a>(&self, line: &'a str, number: usize) -> Result<Line<'a>> {
        let null = |text: &'a str| Some(text).filter(|text| self.null_marker.as_deref() != Some(text));
        let mut rest = line;
        let mut take = |separator: &str, what: &str, is_wanted: bool| -> Result<Option<&'a str>> {
            if !is_wanted {
                return Ok(None);
            }
            match rest.split_once(separator) {
                Some((part, after)) => {
                    rest = after;
                    Ok(Some(part))
                }
                None if self.ignore_error => Ok(None),
                None => bail!("No {what} separator found on line number {number}: '{line}'"),
            }
        };
        let headers = take(&self.headers_delimiter, "headers delimiter", self.parse_headers)?;
        let key = take(&self.key_separator, "key", self.parse_key)?;
        let headers = headers.and_then(null).map_or(Ok(Vec::new()), |text| {
            let header = |header: &'a str| match header.split_once(&self.headers_key_separator) {
                Some((name, value)) => Ok((name, null(value))),
                None if self.ignore_error => Ok((header, None)),
                None => bail!("No header key separator found in pair '{header}' on line number {number}"),
            };
            text.split(&self.headers_separator).map(header).collect::<Result<Vec<_>>>()
        })?;
        Ok(Line { key: key.and_then(null), value: null(rest), headers })
    }
}

pub(crate) fn run(arguments: ConsoleProducerArguments) -> Result<()> {
    let is_kafkas = |class: &&str| class.rsplit('.').next() == Some("LineMessageReader");
    if let Some(class) = arguments.line_reader.as_deref().filter(|class| !is_kafkas(class)) {
        bail!("--line-reader: {class} is not known; there is only LineMessageReader");
    }
    let mut properties = match &arguments.reader_config {
        Some(path) => read_properties(path)?,
        None => Vec::new(),
    };
    for text in &arguments.reader_properties {
        properties.push(parse_pair(text)?);
    }
    let reader = LineReader::new(&properties)?;
    let mut config = ProducerConfig::default();
    let mut settings = arguments.settings.by_key()?;
    settings.push(("compression.type", arguments.compression_codec.clone()));
    let mut connection = arguments.connection.clone();
    let properties = ("--command-property", &arguments.producer_properties[..]);
    connection.configure(&settings, properties, |key, value| config.set(key, value))?;
    config.validate()?;
    connection.run(async |client| {
        let producer = Producer::new(&client, config)?;
        let stdin = std::io::stdin();
        let is_terminal = stdin.is_terminal();
        let mut failed = None;
        let mut on_the_way = std::collections::VecDeque::new();
        if is_terminal {
            eprint!(">");
        }
        for (number, line) in (1..).zip(stdin.lock().lines()) {
            let line = line.context("standard input")?;
            let line = reader.read(&line, number)?;
            let headers: Vec<_> =
                line.headers.iter().map(|(name, value)| (*name, value.map(str::as_bytes))).collect();
            let record = ProducerRecord {
                key: line.key.map(str::as_bytes),
                value: line.value.map(str::as_bytes),
                headers: &headers,
                ..ProducerRecord::new(&arguments.topic)
            };
            let delivery = producer.send(record).await?;
            if arguments.sync {
                delivery.await?;
            } else {
                on_the_way.push_back(delivery);
                // What is done needs no memory.
                if on_the_way.len() > 10_000
                    && let Some(delivery) = on_the_way.pop_front()
                    && let Err(error) = delivery.await
                {
                    failed.get_or_insert(error);
                }
            }
            if is_terminal {
                eprint!(">");
            }
        }
        producer.flush().await?;
        for delivery in on_the_way {
            if let Err(error) = delivery.await {
                failed.get_or_insert(error);
            }
        }
        producer.close().await?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_value_or_has_headers_and_a_key_before_it() {
        let check = |properties: &[&str], line: &str, expected: Result<Line<'_>, &str>| {
            let properties: Vec<_> = properties.iter().map(|text| parse_pair(text).unwrap()).collect();
            let found =
                LineReader::new(&properties).unwrap().read(line, 3).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_string), "{properties:?} {line}");
        };
        let line = |key, value, headers| Ok(Line { key, value, headers });
        check(&[], "a\tb", line(None, Some("a\tb"), vec![]));
        check(&["parse.key=true"], "k\tv", line(Some("k"), Some("v"), vec![]));
        check(&["parse.key=true", "key.separator=:"], "k:v:w", line(Some("k"), Some("v:w"), vec![]));
        check(&["parse.key=true"], "v", Err("No key separator found on line number 3: 'v'"));
        check(&["parse.key=true", "ignore.error=true"], "v", line(None, Some("v"), vec![]));
        check(&["parse.key=true", "null.marker=NULL"], "k\tNULL", line(Some("k"), None, vec![]));
        let headers = vec![("h", Some("1")), ("g", Some(""))];
        check(&["parse.headers=true", "parse.key=true"], "h:1,g:\tk\tv", line(Some("k"), Some("v"), headers));
        assert!(LineReader::new(&[("a".to_string(), "b".to_string())]).is_err());
    }
}
