//! OffsetFetch: what a group has committed.

use std::sync::Arc;

use anabranch_protocol::{ErrorCode, Uuid};

use super::GroupCoordinator;
use super::records::OffsetCommit;

/// An offset as OffsetFetch answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchedOffset {
    pub(crate) partition: i32,
    /// -1: none is committed, which is no error.
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Arc<str>,
    pub(crate) error: ErrorCode,
}

impl FetchedOffset {
    /// No offset, because of an error.
    pub(crate) fn refused(partition: i32, error: ErrorCode) -> FetchedOffset {
        FetchedOffset::new(partition, None, error)
    }

    fn new(partition: i32, commit: Option<&OffsetCommit>, error: ErrorCode) -> FetchedOffset {
        FetchedOffset {
            partition,
            offset: commit.map_or(-1, |commit| commit.offset),
            leader_epoch: commit.and_then(|commit| commit.leader_epoch).unwrap_or(-1),
            metadata: commit.map(|commit| commit.metadata.clone()).unwrap_or_default(),
            error,
        }
    }
}

impl GroupCoordinator {
    /// The committed offset of a partition; if `topic_id` is not zero, only one that is not of another topic which had
    /// the same name. With `require_stable`, an offset which an open transaction is about to change is refused (KIP-447).
    pub(crate) fn fetch_offset(
        &self,
        group_id: &str,
        (topic, topic_id): (&str, Uuid),
        partition: i32,
        require_stable: bool,
    ) -> FetchedOffset {
        let offsets = self.groups.get(group_id).map(|group| &group.offsets);
        if require_stable && offsets.is_some_and(|offsets| offsets.is_pending(topic, partition)) {
            return FetchedOffset::refused(partition, ErrorCode::UNSTABLE_OFFSET_COMMIT);
        }
        let is_same = |id: Uuid| topic_id.is_zero() || id.is_zero() || id == topic_id;
        let commit = offsets.and_then(|offsets| offsets.get(topic, partition));
        FetchedOffset::new(partition, commit.filter(|commit| is_same(commit.topic_id)), ErrorCode::NONE)
    }

    /// All committed offsets of a group, by topic.
    pub(crate) fn fetch_all_offsets(
        &self,
        group_id: &str,
        require_stable: bool,
    ) -> Vec<(Arc<str>, Vec<FetchedOffset>)> {
        let Some(group) = self.groups.get(group_id) else { return Vec::new() };
        let topics = group.offsets.topics().map(|(topic, partitions)| {
            let fetched = partitions.map(|(partition, commit)| {
                if require_stable && group.offsets.is_pending(topic, partition) {
                    FetchedOffset::refused(partition, ErrorCode::UNSTABLE_OFFSET_COMMIT)
                } else {
                    FetchedOffset::new(partition, Some(commit), ErrorCode::NONE)
                }
            });
            (topic.clone(), fetched.collect())
        });
        topics.collect()
    }
}
