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
#[command(group = ArgGroup::new("action").required(true).args(["list", "describe", "delete", "reset_offsets", "delete_offsets"]))]
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
    /// With --describe and --list: the state.
    #[arg(long)]
    state: bool,
    /// With --members: their partitions.
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    reset: reset::ResetArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: GroupsArguments) -> Result<()> {
    if !arguments.list && arguments.group.is_empty() && !arguments.all_groups {
        bail!("--group is missing (or --all-groups)");
    }
    let reset = arguments.reset_offsets.then(|| arguments.reset.plan()).transpose()?;
    arguments.connection.run(async |client| {
        let admin = client.admin();
        if arguments.list {
            return list(&admin, &arguments).await;
        }
        let groups = chosen(&admin, &arguments).await?;
        if arguments.describe {
            describe::describe(&admin, &client, &groups, &arguments).await
        } else if arguments.delete {
            delete(&admin, &groups).await
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
    let groups = admin.list_groups().await?;
    if arguments.json {
        let all = groups.iter().map(|group| {
            json!({ "group": group.group_id, "state": group.state, "protocol_type": group.protocol_type })
        });
        println!("{}", Value::Array(all.collect()));
    } else if arguments.state {
        let mut table = Table::new(&["GROUP", "STATE"]);
        groups.into_iter().for_each(|group| table.push(vec![group.group_id.into(), group.state.into()]));
        table.print(false);
    } else {
        groups.iter().for_each(|group| println!("{}", group.group_id));
    }
    Ok(())
}

async fn delete(admin: &Admin, groups: &[String]) -> Result<()> {
    for group in groups {
        admin.delete_group(group).await?;
    }
    let names: Vec<String> = groups.iter().map(|group| format!("'{group}'")).collect();
    println!("Deletion of requested consumer groups ({}) was successful.", names.join(", "));
    Ok(())
}

async fn delete_offsets(admin: &Admin, groups: &[String], arguments: &GroupsArguments) -> Result<()> {
    let mut table = Table::new(&["TOPIC", "PARTITION", "STATUS"]);
    for group in groups {
        let committed = admin.committed_offsets(group, None).await?;
        let partitions = arguments.reset.partitions(admin, committed.keys().cloned().collect()).await?;
        let partitions: Vec<TopicPartition> = partitions.into_iter().collect();
        for (name, result) in admin.delete_offsets(group, &partitions).await? {
            let status = match result {
                Ok(()) => "Successful".to_string(),
                Err(error) => format!("Error: {error}"),
            };
            table.push(vec![name.topic.to_string().into(), name.partition.into(), status.into()]);
        }
    }
    table.print(arguments.json);
    Ok(())
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
}
