//! What a group has committed, how far that is behind, who its members are, and how it stands.

use std::collections::BTreeMap;

use anabranch_client::{
    Admin, Client, GroupDescription, IsolationLevel, MemberDescription, OffsetSpec, TopicPartition,
};
use anyhow::Result;
use serde_json::Value;

use super::GroupsArguments;
use crate::output::Table;

/// What of a group is shown.
#[derive(Clone, Copy, Debug)]
enum View {
    Members,
    State,
    Offsets,
}

impl View {
    fn of(arguments: &GroupsArguments) -> View {
        match (arguments.members, arguments.state.is_some()) {
            (true, _) => View::Members,
            (false, true) => View::State,
            (false, false) => View::Offsets,
        }
    }

    /// The columns, and how wide Kafka's tool makes them at least.
    fn columns(self, verbose: bool) -> Vec<(&'static str, usize)> {
        let mut columns = vec![("GROUP", 15)];
        match self {
            View::Members => {
                columns.extend([("CONSUMER-ID", 15), ("HOST", 15), ("CLIENT-ID", 15), ("#PARTITIONS", 15)]);
                if verbose {
                    columns.extend([("CURRENT-EPOCH", 15), ("CURRENT-ASSIGNMENT", 20)]);
                    columns.extend([("TARGET-EPOCH", 15), ("TARGET-ASSIGNMENT", 20)]);
                }
            }
            View::State => {
                columns.extend([("COORDINATOR (ID)", 25), ("ASSIGNMENT-STRATEGY", 20), ("STATE", 20)]);
                if verbose {
                    columns.extend([("GROUP-EPOCH", 15), ("TARGET-ASSIGNMENT-EPOCH", 25)]);
                }
                columns.push(("#MEMBERS", 0));
            }
            View::Offsets => {
                columns.extend([("TOPIC", 15), ("PARTITION", 10)]);
                columns.extend(verbose.then_some(("LEADER-EPOCH", 15)));
                columns.extend([("CURRENT-OFFSET", 15), ("LOG-END-OFFSET", 15), ("LAG", 15)]);
                columns.extend([("CONSUMER-ID", 15), ("HOST", 15), ("CLIENT-ID", 0)]);
            }
        }
        columns
    }
}

pub(super) async fn describe(
    admin: &Admin,
    client: &Client,
    groups: &[String],
    arguments: &GroupsArguments,
) -> Result<()> {
    let view = View::of(arguments);
    let columns = view.columns(arguments.verbose);
    let mut all = Table::aligned(&columns);
    for group in groups {
        let mut of_group = Table::aligned(&columns);
        // For people each group has a table of its own.
        let table = if arguments.json { &mut all } else { &mut of_group };
        let described = admin.describe_group(group).await?;
        if described.members.is_empty() {
            eprintln!("\nConsumer group '{group}' has no active members.");
        }
        match view {
            View::Members => described
                .members
                .iter()
                .for_each(|member| table.push(member_row(group, member, arguments.verbose))),
            View::State => {
                table.push(state_row(admin, client, group, &described, arguments.verbose).await?);
            }
            View::Offsets => offsets(admin, group, &described, arguments.verbose, table).await?,
        }
        if !arguments.json {
            println!();
            of_group.print(false);
        }
    }
    if arguments.json {
        all.print(true);
    }
    Ok(())
}

/// `t:0,1;u:0`
fn assignment(partitions: &[TopicPartition]) -> String {
    let mut by_topic: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for name in partitions {
        by_topic.entry(&name.topic).or_default().push(name.partition.to_string());
    }
    let topics = by_topic.iter().map(|(topic, partitions)| format!("{topic}:{}", partitions.join(",")));
    topics.collect::<Vec<_>>().join(";")
}

fn member_row(group: &str, member: &MemberDescription, verbose: bool) -> Vec<Value> {
    let mut row: Vec<Value> = vec![
        group.into(),
        member.member_id.clone().into(),
        member.client_host.clone().into(),
        member.client_id.clone().into(),
        member.partitions.len().into(),
    ];
    if verbose {
        // Members of a classic group have no epochs, and no other target than what they have.
        row.extend([Value::Null, assignment(&member.partitions).into(), Value::Null, Value::Null]);
    }
    row
}

async fn state_row(
    admin: &Admin,
    client: &Client,
    group: &str,
    described: &GroupDescription,
    verbose: bool,
) -> Result<Vec<Value>> {
    let address = admin.group_coordinator(group).await?;
    let metadata = client.metadata();
    let id = metadata.brokers().find(|broker| broker.address == address).map(|broker| broker.id);
    let coordinator = match id {
        Some(id) => format!("{address}  ({id})"),
        None => address,
    };
    let strategy = Some(described.protocol.as_str()).filter(|protocol| !protocol.is_empty());
    let mut row: Vec<Value> =
        vec![group.into(), coordinator.into(), strategy.into(), described.state.clone().into()];
    if verbose {
        // A classic group has neither.
        row.extend([Value::Null, Value::Null]);
    }
    row.push(described.members.len().into());
    Ok(row)
}

async fn offsets(
    admin: &Admin,
    group: &str,
    described: &GroupDescription,
    verbose: bool,
    table: &mut Table,
) -> Result<()> {
    let committed = admin.committed_offsets(group, None).await?;
    let mut owners: BTreeMap<&TopicPartition, &MemberDescription> = BTreeMap::new();
    for member in &described.members {
        owners.extend(member.partitions.iter().map(|name| (name, member)));
    }
    let mut names: Vec<&TopicPartition> = committed.keys().chain(owners.keys().copied()).collect();
    names.sort();
    names.dedup();
    let wanted = names.iter().map(|name| ((*name).clone(), OffsetSpec::Latest)).collect();
    let ends = admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
    for name in names {
        let current = committed.get(name).map(|committed| committed.offset);
        // A topic that is gone has no end; what was committed is shown all the same.
        let end = ends.get(name).and_then(|end| end.as_ref().ok()).map(|end| end.offset);
        let lag = current.zip(end).map(|(current, end)| end - current);
        let owner = owners.get(name);
        let of_owner = |field: fn(&MemberDescription) -> &String| {
            owner.map_or(Value::Null, |member| field(member).clone().into())
        };
        let mut row: Vec<Value> = vec![group.into(), name.topic.to_string().into(), name.partition.into()];
        if verbose {
            let epoch = committed.get(name).map(|committed| committed.leader_epoch);
            row.push(epoch.filter(|epoch| *epoch >= 0).into());
        }
        row.extend([
            current.into(),
            end.into(),
            lag.into(),
            of_owner(|member| &member.member_id),
            of_owner(|member| &member.client_host),
            of_owner(|member| &member.client_id),
        ]);
        table.push(row);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_lists_partitions_by_topic() {
        let names = [("b", 0), ("a", 1), ("a", 2)].map(|(topic, index)| TopicPartition::new(topic, index));
        assert_eq!(assignment(&names), "a:1,2;b:0");
        assert_eq!(assignment(&[]), "");
    }
}
