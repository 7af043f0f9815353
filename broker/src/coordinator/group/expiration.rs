//! What nobody needs any more goes: offsets whose time is up, then groups that have neither members nor offsets.
//!
//! Offsets of an empty group are kept `offsets.retention.minutes` from the moment it became empty; those of a simple
//! group, and those of topics to which a stable group no longer subscribes, from the commit on.

use std::sync::Arc;

use tracing::debug;

use super::classic::GroupState;
use super::records::{GroupRecord, OffsetCommit};
use super::{Group, GroupCoordinator};
use crate::config::GroupConfig;
use crate::coordinator::Now;

impl GroupCoordinator {
    /// The records that remove what has expired. Asked every `offsets.retention.check.interval.ms`.
    pub(super) fn expired(&self, now: Now) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        for group in self.groups.values() {
            group.collect_expired(now, &self.config, &mut records);
        }
        if !records.is_empty() {
            debug!(records = records.len(), "removing expired offsets and groups");
        }
        records
    }

    /// The records that remove the offsets of topics that were deleted.
    pub(crate) fn topic_deleted(&mut self, now: Now, topic: &str, records: &mut Vec<GroupRecord>) {
        let before = records.len();
        for group in self.groups.values() {
            records.extend(group.offsets.tombstones(&group.classic.id, |name, _| name == topic));
        }
        self.apply(now, &records[before..]);
    }
}

impl Group {
    fn collect_expired(&self, now: Now, config: &GroupConfig, records: &mut Vec<GroupRecord>) {
        let group_id = &self.classic.id;
        let mut all_expired = true;
        for (topic, partitions) in self.offsets.topics() {
            for (partition, commit) in partitions {
                if self.is_expired(topic, partition, commit, now, config) {
                    let (group_id, topic) = (group_id.clone(), topic.clone());
                    records.push(GroupRecord::OffsetCommit { group_id, topic, partition, value: None });
                } else {
                    all_expired = false;
                }
            }
        }
        let is_idle = self.classic.state == GroupState::Empty && !self.classic.has_pending_members();
        if all_expired && is_idle && !self.offsets.has_open_transactions() {
            records.push(GroupRecord::GroupMetadata { group_id: group_id.clone(), value: None });
        }
    }

    fn is_expired(
        &self,
        topic: &Arc<str>,
        partition: i32,
        commit: &OffsetCommit,
        now: Now,
        config: &GroupConfig,
    ) -> bool {
        let group = &self.classic;
        if group.is_subscribed_to(topic) || self.offsets.is_pending(topic, partition) {
            return false;
        }
        let kept_since_ms = match group.state {
            _ if group.protocol_type.is_none() => commit.commit_timestamp_ms,
            GroupState::Empty => group.state_since_ms.unwrap_or(commit.commit_timestamp_ms),
            GroupState::Stable if group.is_consumer_group() && group.knows_subscribed_topics() => {
                commit.commit_timestamp_ms
            }
            _ => return false,
        };
        match commit.expire_timestamp_ms {
            Some(expire_timestamp_ms) => now.wall_clock_ms >= expire_timestamp_ms,
            None => now.wall_clock_ms.saturating_sub(kept_since_ms) >= config.offsets_retention_ms,
        }
    }
}
