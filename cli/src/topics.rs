//! `anabranch topics`: what `kafka-topics` does, with its flags and its lines.

use anabranch_client::{Admin, ConfigResource, NewTopic, TopicMetadata};
use anyhow::{Result, bail};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use crate::connect::{Connection, Pattern, ignored, parse_pair};

/// What the command takes.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("action").required(true).args(["create", "list", "describe", "alter", "delete"]))]
pub(crate) struct TopicsArguments {
    #[command(flatten)]
    connection: Connection,
    /// Create a topic.
    #[arg(long)]
    create: bool,
    /// List all topics.
    #[arg(long)]
    list: bool,
    /// Show partitions and settings.
    #[arg(long)]
    describe: bool,
    /// Give a topic more partitions.
    #[arg(long)]
    alter: bool,
    /// Delete topics.
    #[arg(long)]
    delete: bool,
    /// The topic; but for --create also a regular expression.
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// With --describe: the topic's id.
    #[arg(long, value_name = "ID", conflicts_with = "topic", allow_hyphen_values = true)]
    topic_id: Option<String>,
    /// How many partitions.
    #[arg(long, value_name = "N")]
    partitions: Option<i32>,
    /// How many replicas of each.
    #[arg(long, value_name = "N")]
    replication_factor: Option<i16>,
    /// Which brokers hold which partition: 1:2,2:3,..; with --alter it begins with the partitions that are there.
    #[arg(long, value_name = "BROKERS,..")]
    replica_assignment: Option<String>,
    /// Ignored: a topic is described whole, however many partitions it has.
    #[arg(long, value_name = "N")]
    partition_size_limit_per_response: Option<i32>,
    /// Not taken any more, since Kafka 4.0: `configs --alter --delete-config` takes settings back.
    #[arg(long, value_name = "KEY")]
    delete_config: Vec<String>,
    /// A setting of a new topic; may be given many times.
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// Do nothing if the topic is there.
    #[arg(long)]
    if_not_exists: bool,
    /// Do nothing if the topic is not there.
    #[arg(long)]
    if_exists: bool,
    /// Leave out the topics of coordinators.
    #[arg(long)]
    exclude_internal: bool,
    /// Only topics with settings of their own.
    #[arg(long)]
    topics_with_overrides: bool,
    /// Only partitions that lack replicas in sync.
    #[arg(long)]
    under_replicated_partitions: bool,
    /// Only partitions with fewer replicas in sync than min.insync.replicas.
    #[arg(long)]
    under_min_isr_partitions: bool,
    /// Only partitions with just as many replicas in sync as min.insync.replicas.
    #[arg(long)]
    at_min_isr_partitions: bool,
    /// Only partitions without a leader.
    #[arg(long)]
    unavailable_partitions: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: TopicsArguments) -> Result<()> {
    ignored(
        "--partition-size-limit-per-response",
        &arguments.partition_size_limit_per_response,
        "a topic is described whole",
    );
    ignored(
        "--delete-config",
        &arguments.delete_config.first(),
        "`configs --alter --delete-config` takes settings back",
    );
    arguments.connection.run(async |client| {
        let admin = client.admin();
        if arguments.create {
            create(&admin, &arguments).await
        } else if arguments.list {
            list(&admin, &arguments).await
        } else if arguments.describe {
            describe(&admin, &arguments).await
        } else if arguments.alter {
            alter(&admin, &arguments).await
        } else {
            delete(&admin, &arguments).await
        }
    })
}

fn named(arguments: &TopicsArguments) -> Result<&str> {
    match arguments.topic.as_deref() {
        Some(topic) => Ok(topic),
        None => bail!("--topic is missing"),
    }
}

async fn create(admin: &Admin, arguments: &TopicsArguments) -> Result<()> {
    let name = named(arguments)?;
    let mut topic = NewTopic::new(name, arguments.partitions.unwrap_or(-1));
    topic.replication_factor = arguments.replication_factor.unwrap_or(-1);
    for pair in &arguments.config {
        topic.configs.push(parse_pair(pair)?);
    }
    if let Some(assignment) = &arguments.replica_assignment {
        topic.assignments = parse_assignment(assignment)?;
    }
    if name.contains(['.', '_']) {
        eprintln!(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. \
             To avoid issues it is best to use either, but not both."
        );
    }
    for (_, result) in admin.create_topics(&[topic]).await? {
        match result {
            Err(error)
                if arguments.if_not_exists
                    && error.code().is_some_and(|code| code.name() == "TOPIC_ALREADY_EXISTS") => {}
            result => {
                result?;
                println!("Created topic {name}.");
            }
        }
    }
    Ok(())
}

/// `1:2,2:1`: brokers of partition 0, of partition 1, ...
fn parse_assignment(text: &str) -> Result<Vec<(i32, Vec<i32>)>> {
    let mut assignments = Vec::new();
    for (partition, brokers) in (0..).zip(text.split(',')) {
        let brokers: Result<Vec<i32>, _> = brokers.split(':').map(|broker| broker.trim().parse()).collect();
        match brokers {
            Ok(brokers) => assignments.push((partition, brokers)),
            Err(_) => bail!("--replica-assignment: '{text}' is not of the form 1:2,2:1"),
        }
    }
    Ok(assignments)
}

/// The topics that the arguments choose, by name.
async fn chosen(admin: &Admin, arguments: &TopicsArguments, must_be: bool) -> Result<Vec<TopicMetadata>> {
    let pattern = arguments.topic.as_deref().map(Pattern::new).transpose()?;
    let mut topics = admin.list_topics().await?;
    topics.retain(|topic| pattern.as_ref().is_none_or(|pattern| pattern.matches(&topic.name)));
    topics.retain(|topic| arguments.topic_id.as_ref().is_none_or(|id| topic.id.to_string() == *id));
    topics.retain(|topic| !(arguments.exclude_internal && topic.is_internal));
    topics.sort_by(|left, right| left.name.cmp(&right.name));
    if topics.is_empty() && must_be && !arguments.if_exists {
        if let Some(name) = &arguments.topic {
            bail!("Topic '{name}' does not exist as expected");
        }
        if let Some(id) = &arguments.topic_id {
            bail!("TopicId '{id}' does not exist as expected");
        }
    }
    Ok(topics)
}

async fn list(admin: &Admin, arguments: &TopicsArguments) -> Result<()> {
    let topics = chosen(admin, arguments, false).await?;
    if arguments.json {
        let rows = topics.iter().map(|topic| {
            json!({
                "topic": topic.name.to_string(),
                "topic_id": topic.id.to_string(),
                "partitions": topic.partitions.len(),
                "is_internal": topic.is_internal,
            })
        });
        println!("{}", Value::Array(rows.collect()));
    } else {
        topics.iter().for_each(|topic| println!("{}", topic.name));
    }
    Ok(())
}

async fn describe(admin: &Admin, arguments: &TopicsArguments) -> Result<()> {
    let mut all = Vec::new();
    let only_some = arguments.under_replicated_partitions
        || arguments.under_min_isr_partitions
        || arguments.at_min_isr_partitions
        || arguments.unavailable_partitions;
    for topic in chosen(admin, arguments, true).await? {
        let entries = admin.describe_configs(&ConfigResource::Topic(topic.name.to_string())).await?;
        let min_in_sync = entries.iter().find(|entry| entry.name == "min.insync.replicas");
        let min_in_sync = min_in_sync.and_then(|entry| entry.value.as_ref()?.parse().ok()).unwrap_or(1);
        let set: Vec<(String, String)> = entries
            .into_iter()
            .filter(|entry| !entry.is_default)
            .map(|entry| (entry.name, entry.value.unwrap_or_default()))
            .collect();
        if arguments.topics_with_overrides && set.is_empty() {
            continue;
        }
        if arguments.json {
            all.push(as_json(&topic, &set));
            continue;
        }
        let configs: Vec<String> = set.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let replication_factor = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
        if !only_some {
            println!(
                "Topic: {}\tTopicId: {}\tPartitionCount: {}\tReplicationFactor: {replication_factor}\tConfigs: {}",
                topic.name,
                topic.id,
                topic.partitions.len(),
                configs.join(",")
            );
        }
        if !arguments.topics_with_overrides {
            print_partitions(&topic, min_in_sync, arguments);
        }
    }
    if arguments.json {
        println!("{}", Value::Array(all));
    }
    Ok(())
}

fn numbers(all: &[i32]) -> String {
    all.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn print_partitions(topic: &TopicMetadata, min_in_sync: usize, arguments: &TopicsArguments) {
    for (index, partition) in topic.partitions.iter().enumerate() {
        let in_sync = partition.in_sync.len();
        if (arguments.under_replicated_partitions && in_sync >= partition.replicas.len())
            || (arguments.under_min_isr_partitions && in_sync >= min_in_sync)
            || (arguments.at_min_isr_partitions && in_sync != min_in_sync)
            || (arguments.unavailable_partitions && partition.leader.is_some())
        {
            continue;
        }
        let leader = partition.leader.map_or("none".to_string(), |leader| leader.to_string());
        println!(
            "\tTopic: {}\tPartition: {index}\tLeader: {leader}\tReplicas: {}\tIsr: {}\tElr: \tLastKnownElr: ",
            topic.name,
            numbers(&partition.replicas),
            numbers(&partition.in_sync)
        );
    }
}

fn as_json(topic: &TopicMetadata, set: &[(String, String)]) -> Value {
    let partitions: Vec<Value> = (topic.partitions.iter().enumerate())
        .map(|(index, partition)| {
            json!({
                "partition": index,
                "leader": partition.leader,
                "replicas": partition.replicas,
                "isr": partition.in_sync,
            })
        })
        .collect();
    let configs: serde_json::Map<String, Value> =
        set.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    json!({
        "topic": topic.name.to_string(),
        "topic_id": topic.id.to_string(),
        "configs": configs,
        "partitions": partitions,
    })
}

async fn alter(admin: &Admin, arguments: &TopicsArguments) -> Result<()> {
    named(arguments)?;
    let Some(partitions) = arguments.partitions else { bail!("--alter needs --partitions") };
    let assignment = arguments.replica_assignment.as_deref().map(parse_assignment).transpose()?;
    for topic in chosen(admin, arguments, true).await? {
        match &assignment {
            None => admin.create_partitions(&topic.name, partitions).await?,
            Some(assignment) => {
                // It begins with the partitions that are there, which stay where they are.
                let of_new =
                    assignment.iter().skip(topic.partitions.len()).map(|(_, brokers)| brokers.clone());
                admin.create_partitions_on(&topic.name, partitions, &of_new.collect::<Vec<_>>()).await?;
            }
        }
    }
    Ok(())
}

async fn delete(admin: &Admin, arguments: &TopicsArguments) -> Result<()> {
    named(arguments)?;
    let topics = chosen(admin, arguments, true).await?;
    let names: Vec<&str> = topics.iter().map(|topic| &*topic.name).collect();
    if names.is_empty() {
        return Ok(());
    }
    for (_, result) in admin.delete_topics(&names).await? {
        result?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_lists_brokers_by_partition() {
        assert_eq!(parse_assignment("1:2,3").unwrap(), [(0, vec![1, 2]), (1, vec![3])]);
        assert!(parse_assignment("1:x").is_err());
    }
}
