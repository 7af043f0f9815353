//! OffsetCommit (API key 8): stores how far a group has read.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};
use crate::wire::Uuid;

message! {
    /// Offsets to store.
    pub struct OffsetCommitRequest<'a> [2..=10, flexible 8..] {
        /// The group.
        group_id: &'a str [0..],
        /// The generation (classic group) or the member epoch (KIP-848), or -1 without a group.
        generation_id_or_member_epoch: i32 [1..] = -1,
        /// The member, as named by the coordinator.
        member_id: &'a str [1..],
        /// The name a static member gives itself, or null.
        group_instance_id: Option<&'a str> [7.., null 7..],
        /// How long to keep the offsets, in milliseconds, or -1; obsolete.
        retention_time_ms: i64 [2..=4] = -1,
        /// Topic by topic.
        topics: Vec<OffsetCommitRequestTopic<'a>> [0..],
    }

    /// Offsets of one topic.
    pub struct OffsetCommitRequestTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..=9],
        /// The id of the topic.
        topic_id: Uuid [10..],
        /// Partition by partition.
        partitions: Vec<OffsetCommitRequestPartition<'a>> [0..],
    }

    /// The offset of one partition.
    pub struct OffsetCommitRequestPartition<'a> {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// The offset committed: that of the next record to read.
        committed_offset: i64 [0..],
        /// The leader epoch of the last record read, or -1.
        committed_leader_epoch: i32 [6..] = -1,
        /// What the committer wants to remember with it.
        committed_metadata: Option<&'a str> [0.., null 0..],
    }

    /// What became of the offsets.
    pub struct OffsetCommitResponse<'a> [2..=10, flexible 8..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [3..],
        /// Topic by topic.
        topics: Vec<OffsetCommitResponseTopic<'a>> [0..],
    }

    /// What became of one topic.
    pub struct OffsetCommitResponseTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..=9],
        /// The id of the topic.
        topic_id: Uuid [10..],
        /// Partition by partition.
        partitions: Vec<OffsetCommitResponsePartition> [0..],
    }

    /// What became of one partition.
    pub struct OffsetCommitResponsePartition {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
    }
}

impl<'a> Request<'a> for OffsetCommitRequest<'a> {
    const KEY: ApiKey = ApiKey::OffsetCommit;
    type Response<'r> = OffsetCommitResponse<'r>;
}
