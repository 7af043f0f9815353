//! Reading and writing the committed offsets of a group at its coordinator: one attempt each. The callers (a consumer,
//! an admin) say who they are, find the coordinator and decide what a failure means.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use anabranch_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};

use crate::connection::{CallOptions, Connection};
use crate::error::{ClientError, Result};
use crate::topic_partition::{TopicPartition, by_topic};

/// The last versions that name topics instead of giving their ids: committed offsets outlive a topic's metadata.
const LAST_COMMIT_BY_NAME: i16 = 9;
const LAST_FETCH_BY_NAME: i16 = 9;

/// An offset to commit, or a committed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The offset of the next record to read.
    pub offset: i64,
    /// The leader epoch of the last record read, -1 if unknown.
    pub leader_epoch: i32,
    /// Whatever the committer wants to remember with it.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// An offset without epoch and metadata.
    #[must_use]
    pub fn new(offset: i64) -> Self {
        OffsetAndMetadata { offset, leader_epoch: -1, metadata: String::new() }
    }

    /// The same with metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }
}

/// Who commits: a member of the group, or somebody outside of it while it has no members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committer {
    pub(crate) group: Arc<str>,
    pub(crate) generation: i32,
    pub(crate) member_id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
}

impl Committer {
    /// Somebody who is not a member.
    pub(crate) fn outsider(group: &str) -> Self {
        Committer { group: group.into(), generation: -1, member_id: "".into(), instance_id: None }
    }
}

/// Commits; answers each partition's code.
pub(crate) async fn commit(
    connection: &Connection,
    committer: &Committer,
    offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
) -> Result<BTreeMap<TopicPartition, ErrorCode>> {
    let mut topics: Vec<OffsetCommitRequestTopic<'_>> = Vec::new();
    for (name, offset) in offsets {
        let partition = OffsetCommitRequestPartition {
            partition_index: name.partition,
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch,
            committed_metadata: Some(&offset.metadata),
        };
        match topics.last_mut().filter(|topic| topic.name == &*name.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(OffsetCommitRequestTopic {
                name: &name.topic,
                partitions: vec![partition],
                ..Default::default()
            }),
        }
    }
    let request = OffsetCommitRequest {
        group_id: &committer.group,
        generation_id_or_member_epoch: committer.generation,
        member_id: &committer.member_id,
        group_instance_id: committer.instance_id.as_deref(),
        topics,
        ..Default::default()
    };
    let options = CallOptions { max_version: LAST_COMMIT_BY_NAME, ..Default::default() };
    let answer = connection.call_with(&request, options).await?;
    let response: OffsetCommitResponse<'_> = answer.decode()?;
    let mut codes = BTreeMap::new();
    for topic in &response.topics {
        for partition in &topic.partitions {
            codes.insert(TopicPartition::new(topic.name, partition.partition_index), partition.error_code);
        }
    }
    match offsets.keys().find(|name| !codes.contains_key(*name)) {
        Some(name) => Err(ClientError::corrupt(format!("committing offsets: no answer for {name}"))),
        None => Ok(codes),
    }
}

/// The committed offsets of `partitions`, or of all that have one; those without are left out. With `stable`, an offset
/// that an open transaction may still move is an error (88, retriable).
pub(crate) async fn fetch(
    connection: &Connection,
    group: &str,
    partitions: Option<&[TopicPartition]>,
    stable: bool,
) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
    let what = format!("committed offsets of group {group}");
    let options = CallOptions { max_version: LAST_FETCH_BY_NAME, ..Default::default() };
    let version = connection.version::<OffsetFetchRequest<'_>>(options.max_version)?;
    if stable && version < 7 {
        return Err(ClientError::invalid(format!("{what}: the broker is too old for read_committed")));
    }
    let topics = partitions.map(by_topic);
    let mut request = OffsetFetchRequest { require_stable: stable, ..Default::default() };
    if version >= 8 {
        let topics = topics.map(|topics| {
            let topic = |(name, partition_indexes)| OffsetFetchRequestTopics {
                name,
                partition_indexes,
                ..Default::default()
            };
            topics.into_iter().map(topic).collect()
        });
        request.groups.push(OffsetFetchRequestGroup { group_id: group, topics, ..Default::default() });
    } else {
        request.group_id = group;
        request.topics = topics.map(|topics| {
            let topic = |(name, partition_indexes)| OffsetFetchRequestTopic { name, partition_indexes };
            topics.into_iter().map(topic).collect()
        });
    }
    let answer = connection.call_with(&request, options).await?;
    let response: OffsetFetchResponse<'_> = answer.decode()?;
    // One shape out of the two.
    let mut rows = Vec::new();
    let code;
    if answer.version() >= 8 {
        let found = response.groups.iter().find(|found| found.group_id == group);
        let found = found.ok_or_else(|| ClientError::corrupt(format!("{what}: no answer for the group")))?;
        code = found.error_code;
        for topic in &found.topics {
            for row in &topic.partitions {
                let offset = (row.committed_offset, row.committed_leader_epoch, row.metadata);
                rows.push((topic.name, row.partition_index, row.error_code, offset));
            }
        }
    } else {
        code = response.error_code;
        for topic in &response.topics {
            for row in &topic.partitions {
                let offset = (row.committed_offset, row.committed_leader_epoch, row.metadata);
                rows.push((topic.name, row.partition_index, row.error_code, offset));
            }
        }
    }
    if code != ErrorCode::NONE {
        return Err(ClientError::from_code(&what, code));
    }
    let mut offsets = BTreeMap::new();
    for (topic, partition, code, (offset, leader_epoch, metadata)) in rows {
        if code != ErrorCode::NONE {
            return Err(ClientError::from_code(&format!("{what}: {topic}-{partition}"), code));
        }
        if offset >= 0 {
            let metadata = metadata.unwrap_or_default().to_string();
            offsets.insert(
                TopicPartition::new(topic, partition),
                OffsetAndMetadata { offset, leader_epoch, metadata },
            );
        }
    }
    Ok(offsets)
}
