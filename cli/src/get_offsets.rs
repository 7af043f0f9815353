//! `anabranch get-offsets`: what `kafka-get-offsets` does, a line `topic:partition:offset` each.

use std::collections::BTreeMap;

use anabranch_client::{IsolationLevel, OffsetSpec, TopicPartition};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use crate::connect::{Connection, Pattern};

/// What the command takes.
#[derive(Debug, Args)]
pub(crate) struct GetOffsetsArguments {
    #[command(flatten)]
    connection: Connection,
    /// Topics: a name or a regular expression; all if not given.
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Numbers of partitions.
    #[arg(long, value_name = "N,..")]
    partitions: Option<String>,
    /// Which offset: -1 or latest, -2 or earliest, -3 or max-timestamp, or milliseconds since 1970.
    #[arg(long, value_name = "TIME", default_value = "latest", allow_hyphen_values = true)]
    time: String,
    /// Leave out the topics of coordinators.
    #[arg(long)]
    exclude_internal_topics: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Kafka's words and numbers.
pub(crate) fn parse_time(text: &str) -> Result<OffsetSpec> {
    match text {
        "-1" | "latest" => Ok(OffsetSpec::Latest),
        // There is no tiered storage, so what is local is all.
        "-2" | "earliest" | "-4" | "earliest-local" => Ok(OffsetSpec::Earliest),
        "-3" | "max-timestamp" => Ok(OffsetSpec::MaxTimestamp),
        other => match other.parse() {
            Ok(timestamp) if timestamp >= 0 => Ok(OffsetSpec::Timestamp(timestamp)),
            _ => bail!("--time: '{other}' is neither a time nor one of latest, earliest, max-timestamp"),
        },
    }
}

pub(crate) fn run(arguments: GetOffsetsArguments) -> Result<()> {
    let spec = parse_time(&arguments.time)?;
    let pattern = arguments.topic.as_deref().map(Pattern::new).transpose()?;
    let partitions: Option<Vec<i32>> = match &arguments.partitions {
        None => None,
        Some(text) => {
            let numbers = text.split(',').map(|number| number.trim().parse());
            Some(numbers.collect::<Result<_, _>>().with_context(|| format!("--partitions {text}"))?)
        }
    };
    arguments.connection.run(async |client| {
        let admin = client.admin();
        let mut wanted = BTreeMap::new();
        for topic in admin.list_topics().await? {
            let is_wanted = pattern.as_ref().is_none_or(|pattern| pattern.matches(&topic.name));
            if !is_wanted || (arguments.exclude_internal_topics && topic.is_internal) {
                continue;
            }
            for partition in 0..topic.partitions.len() as i32 {
                if partitions.as_ref().is_none_or(|wanted| wanted.contains(&partition)) {
                    wanted.insert(TopicPartition::new(topic.name.clone(), partition), spec);
                }
            }
        }
        if wanted.is_empty() {
            bail!("no partition matches");
        }
        let mut found = Vec::new();
        for (name, listed) in admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await {
            let offset = listed.with_context(|| name.to_string())?.offset;
            // Kafka's tool leaves out partitions without an answer.
            if offset >= 0 {
                found.push((name, offset));
            }
        }
        if arguments.json {
            let rows = found.iter().map(|(name, offset)| {
                json!({ "topic": name.topic.to_string(), "partition": name.partition, "offset": offset })
            });
            println!("{}", serde_json::Value::Array(rows.collect()));
        } else {
            found.iter().for_each(|(name, offset)| println!("{}:{}:{offset}", name.topic, name.partition));
        }
        Ok(())
    })
}
