//! `anabranch delete-records`: what `kafka-delete-records` does, by a file
//! `{"partitions": [{"topic": "t", "partition": 0, "offset": 3}], "version": 1}`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anabranch_client::TopicPartition;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::connect::{Connection, read_text};

/// What the command takes.
#[derive(Debug, Args)]
pub(crate) struct DeleteRecordsArguments {
    #[command(flatten)]
    connection: Connection,
    /// Partitions and the offsets before which records go; -1: all there are.
    #[arg(long, value_name = "FILE")]
    offset_json_file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: DeleteRecordsArguments) -> Result<()> {
    let text = read_text(&arguments.offset_json_file)?;
    let before = parse(&text).with_context(|| arguments.offset_json_file.display().to_string())?;
    arguments.connection.run(async |client| {
        if !arguments.json {
            println!("Executing records delete operation");
        }
        let results = client.admin().delete_records(&before).await?;
        let failures = results.values().filter(|result| result.is_err()).count();
        if arguments.json {
            let rows = results.iter().map(|(name, result)| {
                let (low_watermark, error) =
                    (result.as_ref().ok(), result.as_ref().err().map(ToString::to_string));
                json!({
                    "topic": name.topic.to_string(),
                    "partition": name.partition,
                    "low_watermark": low_watermark,
                    "error": error,
                })
            });
            println!("{}", Value::Array(rows.collect()));
        } else {
            println!("Records delete operation completed:");
            for (name, result) in &results {
                match result {
                    Ok(low_watermark) => println!("partition: {name}\tlow_watermark: {low_watermark}"),
                    Err(error) => println!("partition: {name}\terror: {error}"),
                }
            }
        }
        if failures > 0 {
            bail!("records of {failures} partitions are not deleted");
        }
        Ok(())
    })
}

fn parse(text: &str) -> Result<BTreeMap<TopicPartition, i64>> {
    let value: Value = serde_json::from_str(text).context("it is no JSON")?;
    let version = value.get("version").and_then(Value::as_i64).unwrap_or(1);
    if version != 1 {
        bail!("version {version} is not known, only 1 is");
    }
    let partitions = value.get("partitions").and_then(Value::as_array).context("'partitions' is missing")?;
    let mut before = BTreeMap::new();
    for entry in partitions {
        let topic = entry.get("topic").and_then(Value::as_str);
        let partition =
            entry.get("partition").and_then(Value::as_i64).and_then(|index| i32::try_from(index).ok());
        let offset = entry.get("offset").and_then(Value::as_i64);
        let (Some(topic), Some(partition), Some(offset)) = (topic, partition, offset) else {
            bail!("{entry} is not of the form {{\"topic\": .., \"partition\": .., \"offset\": ..}}");
        };
        if before.insert(TopicPartition::new(topic, partition), offset).is_some() {
            bail!("{topic}-{partition} stands there twice");
        }
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_kafkas() {
        let parsed = parse(r#"{"partitions":[{"topic":"t","partition":0,"offset":3}],"version":1}"#).unwrap();
        assert_eq!(parsed, [(TopicPartition::new("t", 0), 3)].into());
        for (bad, problem) in [
            ("", "it is no JSON"),
            ("{}", "'partitions' is missing"),
            (r#"{"version":2}"#, "version 2 is not known, only 1 is"),
            (r#"{"partitions":[{"topic":"t"}]}"#, "is not of the form"),
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
