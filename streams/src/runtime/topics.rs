//! Before anything runs: the topics are there, and it is known which tasks there are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anabranch_client::{Client, ErrorKind as ClientErrorKind, NewTopic, Producer, TopicPartition};

use super::partition_counts::{PartitionCountError, SubtopologyTopics, resolve, task_count};
use super::worker::client_error;
use crate::error::{Error, Result};
use crate::processor::TaskId;
use crate::topology::{InternalTopic, Topology};

/// A sub-topology and its topics, by their names on the broker.
#[derive(Clone, Debug)]
pub(crate) struct PlannedSubtopology {
    pub(crate) id: u32,
    /// Indexes of its nodes in the topology.
    pub(crate) nodes: Vec<usize>,
    pub(crate) topics: SubtopologyTopics,
    /// Partitions of its widest source.
    pub(crate) tasks: i32,
    /// The topics that bring its stores back.
    pub(crate) changelogs: BTreeSet<String>,
}

/// What there is to run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) subtopologies: Vec<PlannedSubtopology>,
    /// Partitions of every topic read.
    pub(crate) partitions: BTreeMap<String, i32>,
    /// Topics that feed global stores, and how many partitions each has.
    pub(crate) global_topics: BTreeMap<String, i32>,
}

impl Plan {
    /// Every task.
    pub(crate) fn tasks(&self) -> BTreeSet<TaskId> {
        let of = |subtopology: &PlannedSubtopology| {
            let id = subtopology.id;
            (0..subtopology.tasks).map(move |partition| TaskId { subtopology: id, partition })
        };
        self.subtopologies.iter().flat_map(of).collect()
    }

    /// The topic partitions that bring a task's state back; none for a task without state.
    pub(crate) fn changelogs(&self, task: TaskId) -> Vec<TopicPartition> {
        let topics = self.subtopology(task.subtopology).into_iter().flat_map(|s| &s.changelogs);
        topics.map(|topic| TopicPartition::new(topic.as_str(), task.partition)).collect()
    }

    /// The sub-topology of a task.
    pub(crate) fn subtopology(&self, id: u32) -> Option<&PlannedSubtopology> {
        self.subtopologies.iter().find(|subtopology| subtopology.id == id)
    }

    /// The topic partitions that a task reads.
    pub(crate) fn inputs(&self, task: TaskId) -> Vec<(String, i32)> {
        let Some(subtopology) = self.subtopology(task.subtopology) else { return Vec::new() };
        let has = |topic: &&String| self.partitions.get(*topic).is_some_and(|count| task.partition < *count);
        subtopology.topics.sources.iter().filter(has).map(|topic| (topic.clone(), task.partition)).collect()
    }

    /// Those of them that other sub-topologies write for it.
    pub(crate) fn repartition_inputs(&self, task: TaskId) -> Vec<TopicPartition> {
        let sinks: BTreeSet<&String> =
            self.subtopologies.iter().flat_map(|subtopology| &subtopology.topics.repartition_sinks).collect();
        let inputs = self.inputs(task).into_iter().filter(|(topic, _)| sinks.contains(topic));
        inputs.map(|(topic, partition)| TopicPartition::new(topic, partition)).collect()
    }
}

/// Checks the source topics, makes the internal ones, and those of the user's that are missing if `create` says with how
/// many partitions.
///
/// # Errors
/// If a source topic is missing, an internal one has another number of partitions, or the broker does not answer.
pub(crate) async fn prepare(
    client: &Client,
    producer: &Producer,
    topology: &Topology,
    application_id: &str,
    create: Option<i32>,
    replication_factor: i16,
    overrides: &BTreeMap<String, String>,
) -> Result<Plan> {
    let subtopologies: Vec<(u32, Vec<usize>)> =
        topology.subtopologies().into_iter().filter(|s| !s.global).map(|s| (s.id, s.nodes)).collect();
    let internal: Vec<InternalTopic> = subtopologies
        .iter()
        .flat_map(|(_, nodes)| topology.repartition_topics(application_id, topology.sink_topics(nodes)))
        .collect();
    let internal_names: BTreeSet<&str> = internal.iter().map(|topic| topic.name.as_str()).collect();
    let mut topics: Vec<SubtopologyTopics> = Vec::new();
    let mut sinks = BTreeSet::new();
    for (_, nodes) in &subtopologies {
        let named = |topic: &String| topology.topic_name(topic, application_id);
        let sources: BTreeSet<String> = topology.source_topics(nodes).map(named).collect();
        let (repartition_sinks, outputs): (BTreeSet<String>, BTreeSet<String>) =
            topology.sink_topics(nodes).map(named).partition(|topic| internal_names.contains(topic.as_str()));
        sinks.extend(outputs);
        topics.push(SubtopologyTopics { sources, repartition_sinks });
    }
    let external: BTreeSet<String> = topics
        .iter()
        .flat_map(|topics| &topics.sources)
        .filter(|t| !internal_names.contains(t.as_str()))
        .cloned()
        .collect();
    let global: BTreeSet<String> = topology
        .source_topics(&topology.global_nodes())
        .map(|topic| topology.topic_name(topic, application_id))
        .collect();
    let external: BTreeSet<String> = external.union(&global).cloned().collect();
    if let Some(partitions) = create {
        let missing: Vec<NewTopic> = external
            .union(&sinks)
            .map(|topic| NewTopic::new(topic, partitions).replication_factor(replication_factor))
            .collect();
        create_missing(client, &missing).await?;
    }
    let existing = partition_counts(client, external.iter()).await?;
    let fixed = internal.iter().filter_map(|topic| Some((topic.name.clone(), topic.partitions?))).collect();
    let named = |topic: &String| topology.topic_name(topic, application_id);
    let together: Vec<BTreeSet<String>> =
        topology.copartitions.iter().map(|topics| topics.iter().map(named).collect()).collect();
    let partitions = resolve(&topics, &existing, &fixed, &together).map_err(Error::invalid)?;

    let known = |topic: String| match existing.get(&topic) {
        Some(count) => Ok((topic, *count)),
        None => Err(Error::invalid(PartitionCountError::MissingSource(topic))),
    };
    let global_topics = global.into_iter().map(known).collect::<Result<_>>()?;

    let mut planned = Vec::new();
    let mut made = Vec::new();
    for topic in internal {
        made.push((partitions.get(&topic.name).copied().unwrap_or(1), topic));
    }
    for ((id, nodes), topics) in subtopologies.into_iter().zip(topics) {
        let tasks = task_count(&topics, &partitions);
        let stores = topology.stores_of(&nodes);
        let restored_from = |name: &&String| topology.store(name)?.restored_from(topology, application_id);
        let changelogs = stores.iter().filter_map(restored_from).collect();
        let own = topology.changelog_topics(application_id, stores);
        made.extend(own.into_iter().map(|changelog| (tasks, changelog)));
        planned.push(PlannedSubtopology { id, nodes, topics, tasks, changelogs });
    }
    make_internal(client, &made, replication_factor, overrides).await?;
    // So that the outbox, which cannot wait, finds every topic known.
    let written = made.iter().map(|(_, topic)| topic.name.as_str()).chain(sinks.iter().map(String::as_str));
    for topic in written {
        producer
            .partition_count(topic)
            .await
            .map_err(|error| client_error("looking up a topic to write to", error))?;
    }
    Ok(Plan { subtopologies: planned, partitions, global_topics })
}

async fn make_internal(
    client: &Client,
    topics: &[(i32, InternalTopic)],
    replication_factor: i16,
    overrides: &BTreeMap<String, String>,
) -> Result<()> {
    let new: Vec<NewTopic> = topics
        .iter()
        .map(|(partitions, topic)| {
            let mut configs: BTreeMap<&str, &str> =
                topic.configs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            configs.extend(overrides.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            let new = NewTopic::new(&topic.name, *partitions).replication_factor(replication_factor);
            configs.into_iter().fold(new, |new, (key, value)| new.config(key, value))
        })
        .collect();
    create_missing(client, &new).await?;
    let counts = partition_counts(client, topics.iter().map(|(_, topic)| &topic.name)).await?;
    for (wanted, topic) in topics {
        if let Some(found) = counts.get(&topic.name).filter(|found| *found != wanted) {
            return Err(Error::invalid(format_args!(
                "the internal topic `{}` has {found} partitions, the topology needs {wanted}: reset the application, or \
                 give it another application id",
                topic.name
            )));
        }
    }
    Ok(())
}

/// How long brokers may take to learn of a topic that has been created.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
/// How often they are asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Creates topics, and waits until brokers know of them: Apache Kafka answers before they do. One that is there already
/// is well.
async fn create_missing(client: &Client, topics: &[NewTopic]) -> Result<()> {
    if topics.is_empty() {
        return Ok(());
    }
    let created =
        client.admin().create_topics(topics).await.map_err(|error| client_error("creating topics", error))?;
    for (topic, result) in created {
        match result {
            Ok(_) => {}
            Err(error) if error.code() == Some(anabranch_client::ErrorCode::TOPIC_ALREADY_EXISTS) => {}
            Err(error) => return Err(client_error(&format!("creating the topic `{topic}`"), error)),
        }
    }
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let known = async {
        while partition_counts(client, names.iter()).await?.len() < names.len() {
            client.host().sleep(ASK_AGAIN).await;
        }
        Ok(())
    };
    client.host().timeout(KNOWN_WITHIN, known).await.unwrap_or_else(|_| {
        Err(Error::fatal(format_args!(
            "topics are created and not known to the brokers: {}",
            names.join(", ")
        )))
    })
}

/// Partitions of the topics that are there.
async fn partition_counts<'a>(
    client: &Client,
    topics: impl Iterator<Item = &'a String>,
) -> Result<BTreeMap<String, i32>> {
    let names: Vec<&str> = topics.map(String::as_str).collect();
    let described = client
        .admin()
        .describe_topics(&names)
        .await
        .map_err(|error| client_error("looking up topics", error))?;
    let mut counts = BTreeMap::new();
    for (name, topic) in described {
        match topic {
            Ok(topic) => {
                counts.insert(name, i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX));
            }
            Err(error) if error.code() == Some(anabranch_client::ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {}
            Err(error) if error.kind() == ClientErrorKind::Retriable && error.code().is_none() => {}
            Err(error) => return Err(client_error(&format!("looking up the topic `{name}`"), error)),
        }
    }
    Ok(counts)
}
