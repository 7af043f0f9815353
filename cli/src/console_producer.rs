//! `anabranch console-producer`: a record for each line of standard input, as `kafka-console-producer` makes them.

use std::io::{BufRead, IsTerminal};

use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anyhow::{Context, Result, bail};
use clap::Args;

use crate::connect::{Connection, parse_pair};

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
    /// A setting of the producer; may be given many times.
    #[arg(long = "command-property", alias = "producer-property", value_name = "KEY=VALUE")]
    producer_properties: Vec<String>,
    /// none, gzip, snappy, lz4 or zstd; gzip if no codec follows.
    #[arg(long, alias = "compression-type", value_name = "CODEC", num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<String>,
    /// Wait for each record.
    #[arg(long)]
    sync: bool,
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
    fn new(properties: &[String]) -> Result<LineReader> {
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
        for text in properties {
            let (key, value) = parse_pair(text)?;
            let is_true = value.trim().eq_ignore_ascii_case("true");
            match key.as_str() {
                "parse.key" => reader.parse_key = is_true,
                "key.separator" => reader.key_separator = value,
                "parse.headers" => reader.parse_headers = is_true,
                "headers.delimiter" => reader.headers_delimiter = value,
                "headers.separator" => reader.headers_separator = value,
                "headers.key.separator" => reader.headers_key_separator = value,
                "null.marker" => reader.null_marker = Some(value),
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
    let reader = LineReader::new(&arguments.reader_properties)?;
    let mut pairs = Vec::new();
    if let Some(codec) = &arguments.compression_codec {
        pairs.push(("compression.type".to_string(), codec.clone()));
    }
    for text in &arguments.producer_properties {
        pairs.push(parse_pair(text)?);
    }
    let config = ProducerConfig::from_pairs(pairs)?;
    arguments.connection.run(async |client| {
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
            let properties: Vec<String> = properties.iter().map(ToString::to_string).collect();
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
        assert!(LineReader::new(&["a=b".to_string()]).is_err());
    }
}
