//! From a wish for a topic to the records that make it, or to the reason why not. Pure.
//!
//! Three ask: CreateTopics, a client that names an unknown topic (auto-creation), and coordinators for their internal
//! topics. What is checked, and the words, are Kafka's (`ReplicationControlManager`), since tools show them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anabranch_protocol::messages::cluster_metadata::{
    ConfigRecord, MetadataRecord, PartitionRecord, TopicRecord,
};
use anabranch_protocol::{ErrorCode, Uuid};

use super::image::{Configs, MetadataImage, TOPIC_RESOURCE};
use super::quorum::QuorumError;

/// The group coordinator's topic.
pub(crate) const GROUP_METADATA_TOPIC: &str = "__consumer_offsets";
/// The transaction coordinator's topic.
pub(crate) const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";
/// The metadata log itself; no client may use the name.
pub(crate) const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";
/// The longest name: a directory is called by it.
const MAX_NAME_BYTES: usize = 249;
/// The most partitions made by one request: more would hold up everything else.
pub(crate) const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

/// Whether a topic is a coordinator's own.
pub(crate) fn is_internal(name: &str) -> bool {
    matches!(name, GROUP_METADATA_TOPIC | TRANSACTION_STATE_TOPIC)
}

/// Why a wish is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// For the client's program.
    pub(crate) error_code: ErrorCode,
    /// For its user.
    pub(crate) message: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(error_code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { error_code, message: message.into() }
    }
}

impl From<QuorumError> for Refusal {
    fn from(error: QuorumError) -> Refusal {
        tracing::error!(%error, "the metadata cannot be changed");
        Refusal::new(
            ErrorCode::KAFKA_STORAGE_ERROR,
            "The metadata log takes no more records; the broker's log says why.",
        )
    }
}

/// The replicas of the partitions of a new topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// So many partitions with so many replicas; -1: the broker's default.
    Counts {
        /// Partitions.
        num_partitions: i32,
        /// Replicas of each.
        replication_factor: i16,
    },
    /// Partition -> brokers, as the client wants it.
    Manual(Vec<(i32, Vec<i32>)>),
}

/// A topic that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewTopic<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its id, drawn by the caller.
    pub(crate) id: Uuid,
    /// How many partitions, and where.
    pub(crate) layout: Layout,
    /// What is set on it, checked.
    pub(crate) configs: Configs,
}

/// What a broker gives when a wish leaves it open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    /// This broker, the only one.
    pub(crate) node_id: i32,
    /// `num.partitions`.
    pub(crate) num_partitions: i32,
    /// `default.replication.factor`.
    pub(crate) replication_factor: i16,
    /// The directory that new partitions are put into.
    pub(crate) directory_id: Uuid,
}

/// A topic that will be made: its records, in the order in which they are appended, and its size for the answer.
#[derive(Clone, Debug)]
pub(crate) struct Granted<'a> {
    pub(crate) records: Vec<MetadataRecord<'a>>,
    pub(crate) num_partitions: i32,
    pub(crate) replication_factor: i16,
}

/// Checks a name by Kafka's rules.
///
/// # Errors
/// [`ErrorCode::INVALID_TOPIC_EXCEPTION`] and why.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message));
    if name.is_empty() {
        return refuse("Topic name is invalid: the empty string is not allowed".to_string());
    }
    if name == "." || name == ".." {
        return refuse("Topic name is invalid: '.' or '..' is not allowed".to_string());
    }
    if name.len() > MAX_NAME_BYTES {
        let message = format!(
            "Topic name is invalid: the length of '{name}' is longer than the max allowed length {MAX_NAME_BYTES}"
        );
        return refuse(message);
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        let message = format!(
            "Topic name is invalid: '{}' contains one or more characters other than ASCII alphanumerics, '.', '_' and \
             '-'",
            name.escape_debug()
        );
        return refuse(message);
    }
    if name == CLUSTER_METADATA_TOPIC {
        return refuse(format!("{name} is the metadata log"));
    }
    Ok(())
}

/// Turns a wish into records.
///
/// # Errors
/// Why it is not granted.
pub(crate) fn grant<'a>(
    image: &MetadataImage,
    defaults: &Defaults,
    wish: &'a NewTopic<'_>,
) -> Result<Granted<'a>, Refusal> {
    check_new_name(image, wish.name)?;
    let replicas = match &wish.layout {
        Layout::Counts { num_partitions, replication_factor } => {
            count_out(defaults, *num_partitions, *replication_factor)?
        }
        Layout::Manual(assignments) => manual(defaults, 0, assignments)?,
    };
    let num_partitions = replicas.len() as i32;
    let replication_factor = replicas.first().map_or(0, |replicas| replicas.len() as i16);
    let mut records = vec![MetadataRecord::Topic(TopicRecord { name: wish.name, topic_id: wish.id })];
    // Kafka's order: a reader that stops in between has the configuration before the partitions that need it.
    records.extend(wish.configs.iter().map(|(name, value)| config_record(wish.name, name, Some(value))));
    records.extend(partition_records(defaults, wish.id, 0, replicas));
    Ok(Granted { records, num_partitions, replication_factor })
}

/// Whether a topic of this name may be made, whatever else is wished for it.
///
/// # Errors
/// Why not.
pub(crate) fn check_new_name(image: &MetadataImage, name: &str) -> Result<(), Refusal> {
    check_name(name)?;
    if image.topic(name).is_some() {
        return Err(Refusal::new(ErrorCode::TOPIC_ALREADY_EXISTS, format!("Topic '{name}' already exists.")));
    }
    check_collision(image, name)
}

/// The records that add partitions to a topic that has some.
///
/// # Errors
/// Why they are not added.
pub(crate) fn grant_partitions(
    image: &MetadataImage,
    defaults: &Defaults,
    name: &str,
    count: i32,
    assignments: Option<&[Vec<i32>]>,
) -> Result<Vec<MetadataRecord<'static>>, Refusal> {
    let Some(topic) = image.topic(name) else {
        let message = "This server does not host this topic-partition.";
        return Err(Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
    };
    if is_internal(name) {
        // Their number decides which of them holds what: with another one, everything would be looked for elsewhere.
        let message =
            format!("The number of partitions of {name} cannot change: it is the state of a coordinator.");
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    }
    let present = topic.partitions.len() as i32;
    if count <= present {
        let message = if count == present {
            format!("Topic already has {present} partition(s).")
        } else {
            format!(
                "The topic {name} currently has {present} partition(s); {count} would not be an increase."
            )
        };
        return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, message));
    }
    let added = count - present;
    let replicas = match assignments {
        None => {
            let factor = topic.partitions.first().map_or(1, |partition| partition.replicas.len() as i16);
            count_out(defaults, added, factor)?
        }
        Some(assignments) if assignments.len() != added as usize => {
            let message = format!(
                "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
        }
        Some(assignments) => {
            let numbered: Vec<_> = (present..).zip(assignments.iter().cloned()).collect();
            manual(defaults, present, &numbered)?
        }
    };
    Ok(partition_records(defaults, topic.id, present, replicas).collect())
}

/// The record that sets or unsets a key of a topic.
pub(crate) fn config_record<'a>(topic: &'a str, name: &'a str, value: Option<&'a str>) -> MetadataRecord<'a> {
    MetadataRecord::Config(ConfigRecord { resource_type: TOPIC_RESOURCE, resource_name: topic, name, value })
}

fn partition_records<'r>(
    defaults: &Defaults,
    topic_id: Uuid,
    first: i32,
    replicas: Vec<Vec<i32>>,
) -> impl Iterator<Item = MetadataRecord<'r>> + use<'r> {
    let directory_id = defaults.directory_id;
    replicas.into_iter().zip(first..).map(move |(replicas, partition_id)| {
        MetadataRecord::Partition(PartitionRecord {
            partition_id,
            topic_id,
            isr: replicas.clone(),
            leader: replicas.first().copied().unwrap_or(-1),
            leader_epoch: 0,
            partition_epoch: 0,
            directories: vec![directory_id; replicas.len()],
            replicas,
            ..Default::default()
        })
    })
}

/// A name that differs from another only by `.` and `_` would share its metrics' name.
fn check_collision(image: &MetadataImage, name: &str) -> Result<(), Refusal> {
    match image.similar_topic(name) {
        None => Ok(()),
        Some(other) => {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message))
        }
    }
}

fn count_out(defaults: &Defaults, num_partitions: i32, factor: i16) -> Result<Vec<Vec<i32>>, Refusal> {
    if factor == 0 || factor < -1 {
        return Err(Refusal::new(
            ErrorCode::INVALID_REPLICATION_FACTOR,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ));
    }
    if num_partitions == 0 || num_partitions < -1 {
        return Err(Refusal::new(
            ErrorCode::INVALID_PARTITIONS,
            "Number of partitions was set to an invalid non-positive value.",
        ));
    }
    // The default is a wish like any other, but a broker alone must be able to serve out of the box.
    let factor = if factor == -1 { defaults.replication_factor.min(1) } else { factor };
    if factor > 1 {
        let message = format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be \
             reached because only 1 broker(s) are registered."
        );
        return Err(Refusal::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
    }
    let num_partitions = if num_partitions == -1 { defaults.num_partitions } else { num_partitions };
    if num_partitions as usize > MAX_PARTITIONS_PER_REQUEST {
        return Err(too_many_partitions());
    }
    Ok(vec![vec![defaults.node_id]; num_partitions as usize])
}

/// The refusal of a request that asks for too much at a time.
pub(crate) fn too_many_partitions() -> Refusal {
    Refusal::new(ErrorCode::POLICY_VIOLATION, "Excessively large number of partitions per request.")
}

fn manual(
    defaults: &Defaults,
    first: i32,
    assignments: &[(i32, Vec<i32>)],
) -> Result<Vec<Vec<i32>>, Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
    if assignments.len() > MAX_PARTITIONS_PER_REQUEST {
        return Err(too_many_partitions());
    }
    let mut by_partition = BTreeMap::new();
    for (partition, brokers) in assignments {
        if by_partition.insert(*partition, brokers).is_some() {
            return refuse(format!("Found multiple manual partition assignments for partition {partition}"));
        }
        if brokers.is_empty() {
            return refuse("The manual partition assignment includes an empty replica list.".to_string());
        }
        let mut seen = brokers.clone();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() != brokers.len() {
            let message = "The manual partition assignment includes the broker more than once.";
            return refuse(message.to_string());
        }
        if let Some(stranger) = brokers.iter().find(|broker| **broker != defaults.node_id) {
            return refuse(format!(
                "The manual partition assignment includes broker {stranger}, but no such broker is registered."
            ));
        }
    }
    let dense = by_partition.keys().copied().eq(first..first + assignments.len() as i32);
    if !dense || assignments.is_empty() {
        return refuse("partitions should be a consecutive 0-based integer sequence".to_string());
    }
    Ok(by_partition.into_values().cloned().collect())
}

#[cfg(test)]
mod tests;
