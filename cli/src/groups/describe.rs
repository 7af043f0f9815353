//! What a group has committed, how far that is behind, who its members are, and how it stands.

use std::collections::BTreeMap;

use anabranch_client::{
    Admin, Client, GroupDescription, IsolationLevel, MemberDescription, OffsetSpec, TopicPartition,
};
use anyhow::Result;
use serde_json::Value;

use super::GroupsArguments;
use crate::output::Table;

pub(super) async fn describe(
    admin: &Admin,
    client: &Client,
    groups: &[String],
    arguments: &GroupsArguments,
) -> Result<()> {
    let columns: &[&str] = if arguments.members {
        match arguments.verbose {
            true => &["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS", "ASSIGNMENT"],
            false => &["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"],
        }
    } else if arguments.state {
        &["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"]
    } else {
        const OFFSETS: [&str; 9] = [
            "GROUP",
            "TOPIC",
            "PARTITION",
            "CURRENT-OFFSET",
            "LOG-END-OFFSET",
            "LAG",
            "CONSUMER-ID",
            "HOST",
            "CLIENT-ID",
        ];
        &OFFSETS
    };
    let mut table = Table::new(columns);
    for group in groups {
        let described = admin.describe_group(group).await?;
        if described.members.is_empty() && !arguments.state {
            eprintln!("\nConsumer group '{group}' has no active members.");
        }
        if arguments.members {
            described
                .members
                .iter()
                .for_each(|member| table.push(member_row(group, member, arguments.verbose)));
        } else if arguments.state {
            table.push(state_row(admin, client, group, &described).await?);
        } else {
            offsets(admin, group, &described, &mut table).await?;
        }
    }
    if !arguments.json {
        println!();
    }
    table.print(arguments.json);
    Ok(())
}

/// `t(0,1), u(0)`
fn assignment(partitions: &[TopicPartition]) -> String {
    let mut by_topic: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for name in partitions {
        by_topic.entry(&name.topic).or_default().push(name.partition.to_string());
    }
    let topics = by_topic.iter().map(|(topic, partitions)| format!("{topic}({})", partitions.join(",")));
    topics.collect::<Vec<_>>().join(", ")
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
        row.push(assignment(&member.partitions).into());
    }
    row
}

async fn state_row(
    admin: &Admin,
    client: &Client,
    group: &str,
    described: &GroupDescription,
) -> Result<Vec<Value>> {
    let address = admin.group_coordinator(group).await?;
    let metadata = client.metadata();
    let id = metadata.brokers().find(|broker| broker.address == address).map(|broker| broker.id);
    let coordinator = match id {
        Some(id) => format!("{address} ({id})"),
        None => address,
    };
    Ok(vec![
        group.into(),
        coordinator.into(),
        described.protocol.clone().into(),
        described.state.clone().into(),
        described.members.len().into(),
    ])
}

async fn offsets(admin: &Admin, group: &str, described: &GroupDescription, table: &mut Table) -> Result<()> {
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
        table.push(vec![
            group.into(),
            name.topic.to_string().into(),
            name.partition.into(),
            current.into(),
            end.into(),
            lag.into(),
            of_owner(|member| &member.member_id),
            of_owner(|member| &member.client_host),
            of_owner(|member| &member.client_id),
        ]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_lists_partitions_by_topic() {
        let names = [("b", 0), ("a", 1), ("a", 2)].map(|(topic, index)| TopicPartition::new(topic, index));
        assert_eq!(assignment(&names), "a(1,2), b(0)");
        assert_eq!(assignment(&[]), "");
    }
}
