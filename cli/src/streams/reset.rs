//! `anabranch streams reset`: what `kafka-streams-application-reset` does, with its flags and its words.
//!
//! It sets where the application's group goes on reading its input topics, and deletes the internal topics. Local state is
//! not within its reach: each instance forgets it by `Streams::clean_up`, or whoever runs it deletes the directory.

use std::collections::{BTreeMap, BTreeSet};

use anabranch_client::{Admin, OffsetAndMetadata, ResetTo, TopicPartition};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::connect::Connection;
use crate::reset_target::{Target, TargetArguments};

/// What the command takes.
#[derive(Debug, Args)]
pub(crate) struct ResetArguments {
    #[command(flatten)]
    connection: Connection,
    /// The application's id, which is its group's too.
    #[arg(long, value_name = "ID")]
    application_id: String,
    /// Input topics, whose offsets are set: to their start, unless a flag says otherwise.
    #[arg(long, value_name = "TOPIC,..", value_delimiter = ',')]
    input_topics: Vec<String>,
    /// Topics that the application both writes and reads, whose offsets are set to their end.
    #[arg(long, value_name = "TOPIC,..", value_delimiter = ',')]
    intermediate_topics: Vec<String>,
    /// Internal topics to be deleted; without it all whose names are those of the application's internal topics.
    #[arg(long, value_name = "TOPIC,..", value_delimiter = ',')]
    internal_topics: Vec<String>,
    #[command(flatten)]
    target: TargetArguments,
    /// Remove members that are still in the group: static ones stay there after their instance has ended.
    #[arg(long)]
    force: bool,
    /// Only show what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is told of what is done: lines meanwhile, or an array at the end.
#[derive(Debug)]
struct Report {
    as_json: bool,
    rows: Vec<Value>,
}

impl Report {
    fn line(&self, line: &str) {
        if !self.as_json {
            println!("{line}");
        }
    }

    fn end(self) {
        if self.as_json {
            println!("{}", Value::Array(self.rows));
        }
    }
}

pub(super) fn run(arguments: ResetArguments) -> Result<()> {
    let target = arguments.target.target()?.unwrap_or(Target::To(ResetTo::Earliest));
    arguments.connection.run(async |client| {
        let admin = client.admin();
        let mut report = Report { as_json: arguments.json, rows: Vec::new() };
        if arguments.dry_run {
            report.line(
                "----Dry run displays the actions which will be performed when running Streams Reset Tool----",
            );
        }
        empty_the_group(&admin, &arguments, &mut report).await?;
        let topics: BTreeMap<String, usize> = admin
            .list_topics()
            .await?
            .into_iter()
            .map(|topic| (topic.name.to_string(), topic.partitions.len()))
            .collect();
        let input = Resettable { what: "input", names: &arguments.input_topics, target: &target };
        let to_the_end = Target::To(ResetTo::Latest);
        let names = &arguments.intermediate_topics;
        let intermediate = Resettable { what: "intermediate", names, target: &to_the_end };
        let mut missing = Vec::new();
        for wanted in [input, intermediate] {
            missing.extend(set_offsets(&admin, &arguments, &wanted, &topics, &mut report).await?);
        }
        let strangers = delete_internal_topics(&admin, &arguments, &topics, &mut report).await?;
        report.end();
        if !missing.is_empty() {
            bail!("topics that do not exist were left out: {}", missing.join(", "));
        }
        if !strangers.is_empty() {
            bail!("not internal topics of this application, so not deleted: {}", strangers.join(", "));
        }
        Ok(())
    })
}

async fn empty_the_group(admin: &Admin, arguments: &ResetArguments, report: &mut Report) -> Result<()> {
    let group = &arguments.application_id;
    if !admin.list_groups().await?.iter().any(|listed| listed.group_id == *group) {
        // It has never run, or all that it knew has expired.
        return Ok(());
    }
    let members = admin.describe_group(group).await?.members;
    if members.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = members.iter().map(|member| member.member_id.to_string()).collect();
    if !arguments.force {
        bail!(
            "application '{group}' still has members: {}; stop all its instances first; --force removes members of \
             instances that are gone",
            names.join(", ")
        );
    }
    report.line(&format!("Force deleting all active members in the group: {group}"));
    report.rows.extend(names.iter().map(|name| json!({ "action": "remove_member", "member": name })));
    if !arguments.dry_run {
        for (name, removed) in admin.remove_all_members(group, "the application is reset").await? {
            removed.with_context(|| format!("removing {name}"))?;
        }
    }
    Ok(())
}

/// Topics whose offsets are set.
struct Resettable<'a> {
    /// What they are to the application.
    what: &'static str,
    names: &'a [String],
    target: &'a Target,
}

/// Sets the offsets of topics; gives those that do not exist.
async fn set_offsets(
    admin: &Admin,
    arguments: &ResetArguments,
    wanted: &Resettable<'_>,
    topics: &BTreeMap<String, usize>,
    report: &mut Report,
) -> Result<Vec<String>> {
    let group = &arguments.application_id;
    let (known, missing): (Vec<_>, Vec<_>) =
        wanted.names.iter().cloned().partition(|topic| topics.contains_key(topic));
    if known.is_empty() {
        return Ok(missing);
    }
    report.line(&format!("Reset-offsets for {} topics [{}]", wanted.what, known.join(", ")));
    let of_topic = |topic: &String| {
        let partitions = topics.get(topic).copied().unwrap_or(0) as i32;
        let name = topic.clone();
        (0..partitions).map(move |partition| TopicPartition::new(name.as_str(), partition))
    };
    let partitions: Vec<TopicPartition> = known.iter().flat_map(of_topic).collect();
    let mut offsets = wanted.target.settle(admin, group, &partitions).await?;
    // A file may name more than these topics.
    offsets.retain(|partition, _| partitions.contains(partition));
    let what = wanted.what;
    report.line(&format!("Following {what} topics offsets will be reset to (for consumer group {group})"));
    for (TopicPartition { topic, partition }, offset) in &offsets {
        report.line(&format!("Topic: {topic} Partition: {partition} Offset: {offset}"));
        report.rows.push(json!({
            "action": "reset_offset", "topic": topic.to_string(), "partition": partition, "offset": offset,
        }));
    }
    if !arguments.dry_run {
        let commits =
            offsets.into_iter().map(|(name, offset)| (name, OffsetAndMetadata::new(offset))).collect();
        for (name, result) in admin.commit_offsets(group, &commits).await? {
            result.with_context(|| format!("{name} is not reset"))?;
        }
    }
    report.line("Done.");
    Ok(missing)
}

/// Deletes the internal topics; gives those that were named and are none of the application's.
async fn delete_internal_topics(
    admin: &Admin,
    arguments: &ResetArguments,
    topics: &BTreeMap<String, usize>,
    report: &mut Report,
) -> Result<Vec<String>> {
    let id = &arguments.application_id;
    let internal: BTreeSet<&str> =
        topics.keys().map(String::as_str).filter(|topic| is_internal(topic, id)).collect();
    let (chosen, strangers): (Vec<&str>, Vec<&str>) = match arguments.internal_topics.as_slice() {
        [] => (internal.into_iter().collect(), Vec::new()),
        named => named.iter().map(String::as_str).partition(|topic| internal.contains(topic)),
    };
    if !chosen.is_empty() {
        let kind = if arguments.internal_topics.is_empty() { "inferred" } else { "specified" };
        report.line(&format!("Deleting {kind} internal topics [{}]", chosen.join(", ")));
        report.rows.extend(chosen.iter().map(|topic| json!({ "action": "delete_topic", "topic": topic })));
        if !arguments.dry_run {
            for (topic, deleted) in admin.delete_topics(&chosen).await? {
                deleted.with_context(|| format!("deleting {topic}"))?;
            }
        }
        report.line("Done.");
    }
    Ok(strangers.into_iter().map(str::to_owned).collect())
}

/// Whether a topic is one that an application of this id makes for itself.
fn is_internal(topic: &str, application_id: &str) -> bool {
    let Some(name) = topic.strip_prefix(application_id).and_then(|rest| rest.strip_prefix('-')) else {
        return false;
    };
    let is_of_foreign_keys = || {
        let join = "KTABLE-FK-JOIN-SUBSCRIPTION-";
        let rest = name.strip_suffix("-topic").and_then(|name| name.split_once(join));
        let number = rest.and_then(|(_, rest)| {
            rest.strip_prefix("REGISTRATION-").or_else(|| rest.strip_prefix("RESPONSE-"))
        });
        number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let ends =
        ["-changelog", "-repartition", "-subscription-registration-topic", "-subscription-response-topic"];
    ends.iter().any(|end| name.ends_with(end)) || is_of_foreign_keys()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_topics_are_known_by_their_names() {
        for (topic, expected) in [
            ("app-counts-changelog", true),
            ("app-KSTREAM-AGGREGATE-STATE-STORE-0000000003-repartition", true),
            ("app-KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-0000000006-topic", true),
            ("app-KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-0000000014-topic", true),
            ("app-named-subscription-registration-topic", true),
            ("app-named-subscription-response-topic", true),
            ("app-KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-x-topic", false),
            ("app-dead-letter", false),
            ("other-counts-changelog", false),
            ("app2-counts-changelog", false),
            ("app", false),
            ("counts-changelog", false),
        ] {
            assert_eq!(is_internal(topic, "app"), expected, "{topic}");
        }
    }
}
