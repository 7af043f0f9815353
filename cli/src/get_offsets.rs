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
    /// Topics with partitions: t:0, t:0-3 without 3, t:2-, t:-2; t alone is all of it, and t may be a regular expression.
    #[arg(long, value_name = "TOPIC:N,..", conflicts_with_all = ["topic", "partitions"])]
    topic_partitions: Option<String>,
    /// Numbers of partitions.
    #[arg(long, value_name = "N,..")]
    partitions: Option<String>,
    /// Which offset: -1 or latest, -2 or earliest, -3 or max-timestamp, -4 or earliest-local, -5 or latest-tiered, -6 or
    /// earliest-pending-upload, or milliseconds since 1970.
    #[arg(long, value_name = "TIME", default_value = "latest", allow_hyphen_values = true)]
    time: String,
    /// Leave out the topics of coordinators.
    #[arg(long)]
    exclude_internal_topics: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Some partitions of the topics that a pattern chooses.
struct Chosen {
    topic: Option<Pattern>,
    partitions: std::ops::Range<i32>,
}

impl Chosen {
    /// `topic:range` of --topic-partitions; either may be left out.
    fn parse(text: &str) -> Result<Chosen> {
        let (topic, range) = text.split_once(':').unwrap_or((text, ""));
        let number = |text: &str, absent: i32| match text {
            "" => Ok(absent),
            text => text.parse::<i32>(),
        };
        let parsed = match range.split_once('-') {
            Some((from, to)) => number(from, 0).and_then(|from| Ok(from..number(to, i32::MAX)?)),
            None if range.is_empty() => Ok(0..i32::MAX),
            None => number(range, 0).map(|one| one..one.saturating_add(1)),
        };
        let partitions =
            parsed.with_context(|| format!("--topic-partitions: '{text}' is not of the form topic:0-3"))?;
        let topic = (!topic.is_empty()).then(|| Pattern::new(topic)).transpose()?;
        Ok(Chosen { topic, partitions })
    }

    fn holds(&self, topic: &str, partition: i32) -> bool {
        self.partitions.contains(&partition)
            && self.topic.as_ref().is_none_or(|pattern| pattern.matches(topic))
    }
}

/// Kafka's words and numbers.
pub(crate) fn parse_time(text: &str) -> Result<OffsetSpec> {
    match text {
        "-1" | "latest" => Ok(OffsetSpec::Latest),
        "-2" | "earliest" => Ok(OffsetSpec::Earliest),
        "-3" | "max-timestamp" => Ok(OffsetSpec::MaxTimestamp),
        "-4" | "earliest-local" => Ok(OffsetSpec::EarliestLocal),
        "-5" | "latest-tiered" => Ok(OffsetSpec::LatestTiered),
        "-6" | "earliest-pending-upload" => Ok(OffsetSpec::EarliestPendingUpload),
        other => match other.parse() {
            Ok(timestamp) if timestamp >= 0 => Ok(OffsetSpec::Timestamp(timestamp)),
            _ => bail!(
                "--time: '{other}' is neither a time nor one of latest (-1), earliest (-2), max-timestamp (-3), \
                 earliest-local (-4), latest-tiered (-5), earliest-pending-upload (-6)"
            ),
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
    let chosen: Option<Vec<Chosen>> = match &arguments.topic_partitions {
        None => None,
        Some(text) => Some(text.split(',').map(|one| Chosen::parse(one.trim())).collect::<Result<_>>()?),
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
                let is_chosen = chosen
                    .as_ref()
                    .is_none_or(|chosen| chosen.iter().any(|one| one.holds(&topic.name, partition)));
                if is_chosen && partitions.as_ref().is_none_or(|wanted| wanted.contains(&partition)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_chosen_by_topic_and_range() {
        let check = |text: &str, expected: &[(&str, i32)]| {
            let chosen = Chosen::parse(text).unwrap();
            let all = ["a", "ab"].into_iter().flat_map(|topic| (0..4).map(move |number| (topic, number)));
            let found: Vec<_> = all.filter(|(topic, number)| chosen.holds(topic, *number)).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("a:1", &[("a", 1)]);
        check("a:1-3", &[("a", 1), ("a", 2)]);
        check("a.*:3-", &[("a", 3), ("ab", 3)]);
        check(":-1", &[("a", 0), ("ab", 0)]);
        check("ab", &[("ab", 0), ("ab", 1), ("ab", 2), ("ab", 3)]);
        assert!(Chosen::parse("a:x").is_err() && Chosen::parse("a:1-x").is_err());
    }
}
