//! OffsetCommit and OffsetDelete: whether they may, and the records they give.

use std::collections::BTreeSet;
use std::sync::Arc;

use anabranch_protocol::{ErrorCode, Uuid};

use super::GroupCoordinator;
use super::classic::{ClassicGroup, GroupState};
use super::effects::Effects;
use super::records::{GroupRecord, OffsetCommit};
use crate::coordinator::Now;

/// An OffsetCommit request, for partitions that exist.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommitOffsets<'a> {
    pub(crate) group_id: &'a str,
    /// Negative: of somebody who is not a member.
    pub(crate) generation_id: i32,
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    /// How long the offsets are to be kept, if the client says (up to version 4).
    pub(crate) retention_time_ms: Option<i64>,
    /// The client knows GROUP_ID_NOT_FOUND (version 9).
    pub(crate) knows_group_id_not_found: bool,
    pub(crate) partitions: Vec<PartitionCommit<'a>>,
}

/// An offset to commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartitionCommit<'a> {
    pub(crate) topic: &'a str,
    /// Zero: not known.
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Negative: unknown.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Option<&'a str>,
}

impl GroupCoordinator {
    /// Commits offsets. One error for each partition, in the order of the request.
    ///
    /// # Errors
    /// What is wrong with the request as a whole.
    pub(crate) fn commit_offsets(
        &mut self,
        now: Now,
        request: &CommitOffsets<'_>,
        effects: &mut Effects,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        match self.groups.get(request.group_id) {
            Some(group) => validate_commit(&group.classic, request)?,
            // A consumer that assigns partitions itself, or an administrator: a simple group.
            None if request.generation_id < 0 => {}
            None if request.knows_group_id_not_found => return Err(ErrorCode::GROUP_ID_NOT_FOUND),
            None => return Err(ErrorCode::ILLEGAL_GENERATION),
        }
        if let Some(mut turn) = self.turn(now, request.group_id, effects)
            && matches!(turn.group.state, GroupState::Stable | GroupState::PreparingRebalance)
        {
            turn.heard_of(request.member_id);
        }
        let (records, errors) = self.offset_records(now, request, effects)?;
        self.apply(now, &records);
        effects.records.extend(records);
        Ok(errors)
    }

    /// The records of a commit, and an error for each partition.
    ///
    /// # Errors
    /// If one of them is larger than the log takes: then, as in Kafka, nothing is committed.
    pub(super) fn offset_records(
        &self,
        now: Now,
        request: &CommitOffsets<'_>,
        effects: &Effects,
    ) -> Result<(Vec<GroupRecord>, Vec<ErrorCode>), ErrorCode> {
        let group_id: Arc<str> = self.group_id(request.group_id);
        let limit = self.config.offset_metadata_max_bytes;
        let mut topic: Arc<str> = "".into();
        let mut errors = Vec::with_capacity(request.partitions.len());
        let mut records = Vec::with_capacity(request.partitions.len());
        for partition in &request.partitions {
            let metadata = partition.metadata.unwrap_or("");
            // Kafka counts UTF-16 units, of which there are never more than bytes.
            if metadata.len() > limit && metadata.encode_utf16().count() > limit {
                errors.push(ErrorCode::OFFSET_METADATA_TOO_LARGE);
                continue;
            }
            if *topic != *partition.topic {
                topic = partition.topic.into();
            }
            let value = OffsetCommit {
                offset: partition.offset,
                leader_epoch: (partition.leader_epoch >= 0).then_some(partition.leader_epoch),
                metadata: metadata.into(),
                commit_timestamp_ms: now.wall_clock_ms,
                topic_id: partition.topic_id,
                expire_timestamp_ms: request.retention_time_ms.map(|ms| now.wall_clock_ms.saturating_add(ms)),
            };
            let record = GroupRecord::OffsetCommit {
                group_id: group_id.clone(),
                topic: topic.clone(),
                partition: partition.partition,
                value: Some(value),
            };
            if !effects.fits(&record) {
                return Err(ErrorCode::UNKNOWN_SERVER_ERROR);
            }
            records.push(record);
            errors.push(ErrorCode::NONE);
        }
        Ok((records, errors))
    }

    /// Deletes offsets of topics the group does not subscribe to. One error for each partition.
    ///
    /// # Errors
    /// What is wrong with the request as a whole.
    pub(crate) fn delete_offsets(
        &mut self,
        now: Now,
        group_id: &str,
        partitions: &[(&str, i32)],
        effects: &mut Effects,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        let Some(group) = self.groups.get(group_id) else { return Err(ErrorCode::GROUP_ID_NOT_FOUND) };
        if group.classic.state != GroupState::Empty && !group.classic.is_consumer_group() {
            return Err(ErrorCode::NON_EMPTY_GROUP);
        }
        let subscribed: Vec<bool> =
            partitions.iter().map(|(topic, _)| group.classic.is_subscribed_to(topic)).collect();
        let wanted = partitions.iter().zip(&subscribed).filter(|(_, subscribed)| !**subscribed);
        let wanted: BTreeSet<(&str, i32)> = wanted.map(|(place, _)| *place).collect();
        let chosen = |topic: &str, partition: i32| wanted.contains(&(topic, partition));
        let tombstones = group.offsets.tombstones(&group.classic.id, chosen);
        self.apply(now, &tombstones);
        effects.records.extend(tombstones);
        let error = |subscribed: &bool| {
            if *subscribed { ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC } else { ErrorCode::NONE }
        };
        Ok(subscribed.iter().map(error).collect())
    }
}

/// Whether whoever sends this may commit offsets for the group.
fn validate_commit(group: &ClassicGroup, request: &CommitOffsets<'_>) -> Result<(), ErrorCode> {
    if request.generation_id < 0 && group.state == GroupState::Empty {
        return Ok(());
    }
    if request.generation_id >= 0 || !request.member_id.is_empty() || request.instance_id.is_some() {
        group.validate_member(request.member_id, request.instance_id)?;
        if request.generation_id != group.generation_id {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
    } else if group.state != GroupState::Empty {
        return Err(ErrorCode::UNKNOWN_MEMBER_ID);
    }
    if group.state == GroupState::CompletingRebalance {
        // It joined this generation, so it is allowed to, but it does not know its partitions yet.
        return Err(ErrorCode::REBALANCE_IN_PROGRESS);
    }
    Ok(())
}
