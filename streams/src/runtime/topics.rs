//! The topics of an application on the broker: those of its user are looked up, its own are made and checked.
//!
//! Every instance does so before anything runs, and the leader again when topics have come, gone or grown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anabranch_client::{Client, ErrorKind as ClientErrorKind, NewTopic, Producer, TopicPartition};

use super::partition_counts::PartitionCountError;
use super::plan::{Plan, Planner};
use super::worker::client_error;
use crate::error::{Error, Result};
use crate::processor::TaskId;
use crate::topology::InternalTopic;

/// How the application's internal topics are made.
#[derive(Clone, Debug)]
pub(crate) struct InternalTopicSettings {
    /// `replication.factor`.
    pub(crate) replication_factor: i16,
    /// Configs of every one of them, in Kafka's keys.
    pub(crate) overrides: BTreeMap<String, String>,
}

impl InternalTopicSettings {
    /// What a topic is to have.
    pub(crate) fn of<'a>(&'a self, topic: &'a InternalTopic) -> BTreeMap<&'a str, &'a str> {
        let own = topic.configs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        own.chain(self.overrides.iter().map(|(key, value)| (key.as_str(), value.as_str()))).collect()
    }
}

/// The user's topics that are there.
pub(crate) struct UserTopics {
    /// Those that streams read, each with its number of partitions.
    pub(crate) sources: BTreeMap<String, i32>,
    /// Those that feed global stores.
    pub(crate) global: BTreeMap<String, i32>,
}

/// Makes the user's topics that are missing, if `create` says with how many partitions, and looks which are there.
///
/// # Errors
/// If one of a global store is missing, or the broker does not answer.
pub(crate) async fn find(
    client: &Client,
    planner: &Planner,
    create: Option<i32>,
    replication_factor: i16,
) -> Result<UserTopics> {
    let global = planner.global_topics();
    let mut read: BTreeSet<String> = planner.named_sources().chain(&global).cloned().collect();
    if let Some(partitions) = create {
        let missing: Vec<NewTopic> = read
            .union(&planner.outputs())
            .map(|topic| NewTopic::new(topic, partitions).replication_factor(replication_factor))
            .collect();
        create_missing(client, &missing).await?;
    }
    if planner.has_patterns() {
        let listed = client.admin().list_topics().await;
        let listed = listed.map_err(|error| client_error("looking which topics there are", error))?;
        let matching = listed.iter().filter(|topic| !topic.is_internal && planner.matches(&topic.name));
        read.extend(matching.map(|topic| topic.name.to_string()));
    }
    let existing = partition_counts(client, read.iter()).await?;
    let known = |topic: String| match existing.get(&topic) {
        Some(count) => Ok((topic, *count)),
        None => Err(Error::invalid(PartitionCountError::MissingSource(topic))),
    };
    let global = global.into_iter().map(known).collect::<Result<_>>()?;
    let sources = existing.into_iter().filter(|(topic, _)| planner.is_source(topic)).collect();
    Ok(UserTopics { sources, global })
}

/// Makes the internal topics of a plan that are missing, and checks those that are there. Those that were missing.
///
/// # Errors
/// If one has another number of partitions than the plan needs, or the broker does not answer.
pub(crate) async fn make(
    client: &Client,
    plan: &Plan,
    settings: &InternalTopicSettings,
) -> Result<BTreeSet<String>> {
    make_internal(client, &plan.internal, settings).await
}

/// Tells of repartition topics that were `made` just now though the group has read what is written to them: they are new in
/// the topology, or were deleted, and nobody can tell which.
pub(crate) async fn tell_of_lost(
    client: &Client,
    application_id: &str,
    plan: &Plan,
    made: &BTreeSet<String>,
) {
    for subtopology in &plan.subtopologies {
        let topics = &subtopology.topics;
        let mut lost = topics.repartition_sinks.intersection(made).peekable();
        if lost.peek().is_none() {
            continue;
        }
        let tasks = (0..subtopology.tasks).map(|partition| TaskId { subtopology: subtopology.id, partition });
        let inputs: Vec<TopicPartition> = tasks.flat_map(|task| plan.inputs(task)).collect();
        match client.admin().committed_offsets(application_id, Some(&inputs)).await {
            Ok(committed) if committed.is_empty() => {}
            Ok(_) => lost.for_each(|topic| {
                tracing::warn!(
                    "the repartition topic `{topic}` was not there and is made, though the application has run before: if it \
                     was deleted, records on their way are lost"
                );
            }),
            Err(error) => tracing::debug!(%error, "whether the application has run before is not known"),
        }
    }
}

/// Lets a producer learn of the topics that are written to, so that the outbox, which cannot wait, finds them known.
///
/// # Errors
/// If one is not there, or the broker does not answer.
pub(crate) async fn look_up(producer: &Producer, planner: &Planner, plan: &Plan) -> Result<()> {
    let outputs = planner.outputs();
    for topic in plan.internal.iter().map(|(_, topic)| &topic.name).chain(&outputs) {
        let known = producer.partition_count(topic).await;
        known.map_err(|error| client_error("looking up a topic to write to", error))?;
    }
    Ok(())
}

/// Makes the topic of records that fail, unless it is there: the first of them must not have to wait for it.
///
/// # Errors
/// If it is missing and cannot be made, or the broker does not answer.
pub(crate) async fn make_dead_letters(
    client: &Client,
    producer: &Producer,
    topic: &String,
    replication_factor: i16,
) -> Result<()> {
    if partition_counts(client, [topic].into_iter()).await?.is_empty() {
        let new = NewTopic::new(topic, BROKERS_DEFAULT).replication_factor(replication_factor);
        create_missing(client, &[new]).await.map_err(|error| {
            let kind = error.kind();
            error.reworded(
                kind,
                "records that fail have no topic to go to: make it, or give policies for reading, processing and writing",
            )
        })?;
    }
    let known = producer.partition_count(topic).await;
    known.map(drop).map_err(|error| client_error("looking up the topic of dead letters", error))
}

async fn make_internal(
    client: &Client,
    topics: &[(i32, InternalTopic)],
    settings: &InternalTopicSettings,
) -> Result<BTreeSet<String>> {
    let new: Vec<NewTopic> = topics
        .iter()
        .map(|(partitions, topic)| {
            let new = NewTopic::new(&topic.name, *partitions).replication_factor(settings.replication_factor);
            settings.of(topic).into_iter().fold(new, |new, (key, value)| new.config(key, value))
        })
        .collect();
    let made = create_missing(client, &new).await?;
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
    Ok(made)
}

/// As many partitions as the broker gives a topic by itself.
const BROKERS_DEFAULT: i32 = -1;
/// How long brokers may take to learn of a topic that has been created.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
/// How often they are asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Creates topics, and waits until brokers know of them: Apache Kafka answers before they do. One that is there already
/// is well. Those that were not.
async fn create_missing(client: &Client, topics: &[NewTopic]) -> Result<BTreeSet<String>> {
    let mut made = BTreeSet::new();
    if topics.is_empty() {
        return Ok(made);
    }
    let created =
        client.admin().create_topics(topics).await.map_err(|error| client_error("creating topics", error))?;
    for (topic, result) in created {
        match result {
            Ok(_) => drop(made.insert(topic)),
            Err(error) if error.code() == Some(anabranch_client::ErrorCode::TOPIC_ALREADY_EXISTS) => {}
            Err(error) => return Err(client_error(&format!("creating the topic `{topic}`"), error)),
        }
    }
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let known = async {
        while partition_counts(client, names.iter()).await?.len() < names.len() {
            client.host().sleep(ASK_AGAIN).await;
        }
        Ok(made)
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
