//! `anabranch groups`: what `kafka-consumer-groups` does, with its flags and its columns.

mod describe;
mod reset;

use std::collections::BTreeSet;

use anabranch_client::{Admin, TopicPartition};
use anyhow::{Result, bail};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use crate::connect::Connection;
use crate::output::Table;

/// What the command takes.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("action").required(true).args(["list", "describe", "delete", "reset_offsets", "delete_offsets", "validate_regex"]))]
pub(crate) struct GroupsArguments {
    #[command(flatten)]
    connection: Connection,
    /// List all groups.
    #[arg(long)]
    list: bool,
    /// Show offsets, members or the state of groups.
    #[arg(long)]
    describe: bool,
    /// Delete groups without members.
    #[arg(long)]
    delete: bool,
    /// Set where groups go on.
    #[arg(long)]
    reset_offsets: bool,
    /// Forget offsets of --topic.
    #[arg(long)]
    delete_offsets: bool,
    /// Say whether this is a regular expression for topics.
    #[arg(long, value_name = "REGEX")]
    validate_regex: Option<String>,
    /// A group; may be given many times.
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// All groups.
    #[arg(long)]
    all_groups: bool,
    /// With --describe: the members.
    #[arg(long)]
    members: bool,
    /// With --describe: the offsets, as without.
    #[arg(long)]
    offsets: bool,
    /// With --describe: the state. With --list: the state too, or only groups in these states.
    #[arg(long, value_name = "STATE,..", num_args = 0..=1)]
    state: Option<Option<String>>,
    /// With --list: the type too, or only groups of these types.
    #[arg(long = "type", value_name = "TYPE,..", num_args = 0..=1)]
    group_type: Option<Option<String>>,
    /// More columns.
    #[arg(long)]
    verbose: bool,
    /// How long a call may take with all its attempts.
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
    #[command(flatten)]
    reset: reset::ResetArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: GroupsArguments) -> Result<()> {
    if let Some(regex) = &arguments.validate_regex {
        validate_regex(regex);
        return Ok(());
    }
    if !arguments.list && arguments.group.is_empty() && !arguments.all_groups {
        bail!("--group is missing (or --all-groups)");
    }
    check_words(&arguments.state, "state", &STATES)?;
    check_words(&arguments.group_type, "type", &TYPES)?;
    let reset = arguments.reset_offsets.then(|| arguments.reset.plan()).transpose()?;
    arguments.connection.clone().within_ms(arguments.timeout).run(async |client| {
        let admin = client.admin();
        if arguments.list {
            return list(&admin, &arguments).await;
        }
        let groups = chosen(&admin, &arguments).await?;
        if arguments.describe {
            describe::describe(&admin, &client, &groups, &arguments).await
        } else if arguments.delete {
            delete(&admin, &groups, arguments.json).await
        } else if let Some(plan) = reset {
            reset::reset(&admin, &groups, &plan, arguments.json).await
        } else {
            delete_offsets(&admin, &groups, &arguments).await
        }
    })
}

async fn chosen(admin: &Admin, arguments: &GroupsArguments) -> Result<Vec<String>> {
    if !arguments.all_groups {
        return Ok(arguments.group.clone());
    }
    Ok(admin.list_groups().await?.into_iter().map(|group| group.group_id).collect())
}

async fn list(admin: &Admin, arguments: &GroupsArguments) -> Result<()> {
    let mut groups = admin.list_groups().await?;
    groups.retain(|group| {
        is_among(&group.state, &arguments.state) && is_among(&group.group_type, &arguments.group_type)
    });
    if arguments.json {
        let all = groups.iter().map(|group| {
            json!({
                "group": group.group_id,
                "state": group.state,
                "type": group.group_type,
                "protocol_type": group.protocol_type,
            })
        });
        println!("{}", Value::Array(all.collect()));
        return Ok(());
    }
    // Kafka's tool leaves so much behind the longest name.
    let longest = groups.iter().map(|group| group.group_id.chars().count()).max().unwrap_or(0);
    let mut columns = vec![("GROUP", longest.max(15) + 10)];
    columns.extend(arguments.group_type.is_some().then_some(("TYPE", 20)));
    columns.extend(arguments.state.is_some().then_some(("STATE", 20)));
    if columns.len() == 1 {
        groups.iter().for_each(|group| println!("{}", group.group_id));
        return Ok(());
    }
    let mut table = Table::aligned(&columns);
    for group in groups {
        let mut row: Vec<Value> = vec![group.group_id.into()];
        row.extend(arguments.group_type.is_some().then(|| capitalised(&group.group_type).into()));
        row.extend(arguments.state.is_some().then(|| group.state.into()));
        table.push(row);
    }
    table.print(false);
    Ok(())
}

/// The states of groups, by Kafka's names.
const STATES: [&str; 8] = [
    "PreparingRebalance",
    "CompletingRebalance",
    "Stable",
    "Dead",
    "Empty",
    "Assigning",
    "Reconciling",
    "NotReady",
];
/// The types of groups.
const TYPES: [&str; 4] = ["Classic", "Consumer", "Share", "Streams"];

/// Refuses words that no group would ever have.
fn check_words(wanted: &Option<Option<String>>, what: &str, known: &[&str]) -> Result<()> {
    for word in wanted.iter().flatten().flat_map(|words| words.split(',')).map(str::trim) {
        if !known.iter().any(|one| one.eq_ignore_ascii_case(word)) {
            bail!("Invalid {what} list '{word}'. Valid {what}s are: {}", known.join(", "));
        }
    }
    Ok(())
}

/// Both answers are answers: neither is an error of the tool.
fn validate_regex(regex: &str) {
    match regex_lite::Regex::new(regex) {
        Ok(_) => println!("The regular expression `{regex}` is valid."),
        Err(error) => println!("The regular expression `{regex}` is invalid: {error}."),
    }
}

/// Whether a state or a type is one that the user wants: any, if none is named.
fn is_among(found: &str, wanted: &Option<Option<String>>) -> bool {
    let Some(Some(wanted)) = wanted else { return true };
    wanted.split(',').any(|one| one.trim().eq_ignore_ascii_case(found))
}

/// `classic` as Kafka's tool prints it.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Deletes what can be, and tells of each group; one that cannot be fails the command when all have had their turn.
async fn delete(admin: &Admin, groups: &[String], as_json: bool) -> Result<()> {
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for group in groups {
        match admin.delete_group(group).await {
            Ok(()) => deleted.push(group),
            Err(error) => failed.push((group, error.to_string())),
        }
    }
    if as_json {
        let mut table = Table::new(&["GROUP", "ERROR"]);
        deleted.iter().for_each(|group| table.push(vec![group.as_str().into(), Value::Null]));
        failed
            .iter()
            .for_each(|(group, error)| table.push(vec![group.as_str().into(), error.as_str().into()]));
        table.print(true);
    } else if !deleted.is_empty() {
        let names: Vec<String> = deleted.iter().map(|group| format!("'{group}'")).collect();
        let which = if failed.is_empty() { "requested" } else { "these" };
        println!("Deletion of {which} consumer groups ({}) was successful.", names.join(", "));
    }
    let problems: Vec<String> = failed
        .iter()
        .map(|(group, error)| format!("Group '{group}' could not be deleted due to: {error}"))
        .collect();
    match problems.is_empty() {
        true => Ok(()),
        false => bail!("Deletion of some consumer groups failed: {}", problems.join("; ")),
    }
}

async fn delete_offsets(admin: &Admin, groups: &[String], arguments: &GroupsArguments) -> Result<()> {
    let mut table = match arguments.json {
        true => Table::new(&["GROUP", "TOPIC", "PARTITION", "ERROR"]),
        false => Table::aligned(&[("TOPIC", 15), ("PARTITION", 10), ("STATUS", 15)]),
    };
    let mut failed = 0;
    for group in groups {
        let committed = admin.committed_offsets(group, None).await?;
        let partitions = arguments.reset.partitions(admin, committed.keys().cloned().collect()).await?;
        let partitions: Vec<TopicPartition> = partitions.into_iter().collect();
        for (name, result) in admin.delete_offsets(group, &partitions).await? {
            let error = result.err().map(|error| error.to_string());
            failed += usize::from(error.is_some());
            let mut row = vec![name.topic.to_string().into(), name.partition.into()];
            match arguments.json {
                true => {
                    row.insert(0, group.as_str().into());
                    row.push(error.into());
                }
                false => {
                    row.push(error.map_or("Successful".to_string(), |error| format!("Error: {error}")).into())
                }
            }
            table.push(row);
        }
        if !arguments.json {
            println!("Request succeeded for deleting offsets from group {group}.\n");
        }
    }
    table.print(arguments.json);
    match failed {
        0 => Ok(()),
        failed => bail!("offsets of {failed} partitions are not deleted"),
    }
}

/// The partitions of the named topics: all of `t`, or some of `t:0,1`.
fn parse_topics(all: &[String]) -> Result<Vec<(String, Option<BTreeSet<i32>>)>> {
    let mut topics = Vec::new();
    for text in all {
        let parsed = match text.split_once(':') {
            None => (text.clone(), None),
            Some((topic, partitions)) => {
                let numbers: Result<BTreeSet<i32>, _> =
                    partitions.split(',').map(|number| number.trim().parse()).collect();
                match numbers {
                    Ok(numbers) => (topic.to_string(), Some(numbers)),
                    Err(_) => bail!("--topic: '{text}' is not of the form topic:0,1"),
                }
            }
        };
        topics.push(parsed);
    }
    Ok(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_named_whole_or_by_partitions() {
        let parsed = parse_topics(&["a".to_string(), "b:1,0".to_string()]).unwrap();
        assert_eq!(parsed, [("a".to_string(), None), ("b".to_string(), Some([0, 1].into()))]);
        assert!(parse_topics(&["b:x".to_string()]).is_err());
    }

    #[test]
    fn states_and_types_are_chosen_whatever_their_letters() {
        let check = |found: &str, wanted: Option<Option<&str>>, expected: bool| {
            let wanted = wanted.map(|wanted| wanted.map(str::to_string));
            assert_eq!(is_among(found, &wanted), expected, "{found} {wanted:?}");
        };
        check("Empty", None, true);
        check("Empty", Some(None), true);
        check("Empty", Some(Some("stable, empty")), true);
        check("Empty", Some(Some("Stable")), false);
        assert_eq!((capitalised("classic"), capitalised("")), ("Classic".to_string(), String::new()));
    }
}
