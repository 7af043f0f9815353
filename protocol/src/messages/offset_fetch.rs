//! OffsetFetch (API key 9): how far groups have read.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};
use crate::wire::Uuid;

message! {
    /// Asks for the offsets of one group, or of many.
    pub struct OffsetFetchRequest<'a> [1..=10, flexible 6..] {
        /// The group, in versions that take one.
        group_id: &'a str [0..=7],
        /// What to fetch, in versions that take one group; null for all.
        topics: Option<Vec<OffsetFetchRequestTopic<'a>>> [0..=7, null 2..=7],
        /// Group by group, in versions that take many.
        groups: Vec<OffsetFetchRequestGroup<'a>> [8..],
        /// Whether to wait for transactions that may still move an offset (KIP-447).
        require_stable: bool [7..],
    }

    /// Partitions asked for, in versions of one group.
    pub struct OffsetFetchRequestTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..=7],
        /// The numbers of the partitions.
        partition_indexes: Vec<i32> [0..=7],
    }

    /// A group asked for.
    pub struct OffsetFetchRequestGroup<'a> {
        /// The group.
        group_id: &'a str [8..],
        /// The member that asks (KIP-848), or null.
        member_id: Option<&'a str> [9.., null 9..],
        /// The epoch of the member (KIP-848), or -1.
        member_epoch: i32 [9..] = -1,
        /// What to fetch; null for all.
        topics: Option<Vec<OffsetFetchRequestTopics<'a>>> [8.., null 8..],
    }

    /// Partitions asked for.
    pub struct OffsetFetchRequestTopics<'a> {
        /// The name of the topic.
        name: &'a str [8..=9],
        /// The id of the topic.
        topic_id: Uuid [10..],
        /// The numbers of the partitions.
        partition_indexes: Vec<i32> [8..],
    }

    /// The offsets of one group, or of many.
    pub struct OffsetFetchResponse<'a> [1..=10, flexible 6..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [3..],
        /// Topic by topic, in versions that take one group.
        topics: Vec<OffsetFetchResponseTopic<'a>> [0..=7],
        /// What went wrong with the one group, or NONE.
        error_code: ErrorCode [2..=7],
        /// Group by group, in versions that take many.
        groups: Vec<OffsetFetchResponseGroup<'a>> [8..],
    }

    /// Offsets of one topic, in versions of one group.
    pub struct OffsetFetchResponseTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..=7],
        /// Partition by partition.
        partitions: Vec<OffsetFetchResponsePartition<'a>> [0..=7],
    }

    /// The offsets of one group.
    pub struct OffsetFetchResponseGroup<'a> {
        /// The group.
        group_id: &'a str [8..],
        /// Topic by topic.
        topics: Vec<OffsetFetchResponseTopics<'a>> [8..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [8..],
    }

    /// The offset of one partition, in versions of one group.
    pub struct OffsetFetchResponsePartition<'a> {
        /// The number of the partition.
        partition_index: i32 [0..=7],
        /// The offset committed, or -1 if there is none.
        committed_offset: i64 [0..=7],
        /// The leader epoch of the last record read, or -1.
        committed_leader_epoch: i32 [5..=7] = -1,
        /// What the committer wanted to remember with it, or null.
        metadata: Option<&'a str> [0..=7, null 0..=7],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..=7],
    }

    /// Offsets of one topic.
    pub struct OffsetFetchResponseTopics<'a> {
        /// The name of the topic.
        name: &'a str [8..=9],
        /// The id of the topic.
        topic_id: Uuid [10..],
        /// Partition by partition.
        partitions: Vec<OffsetFetchResponsePartitions<'a>> [8..],
    }

    /// The offset of one partition.
    pub struct OffsetFetchResponsePartitions<'a> {
        /// The number of the partition.
        partition_index: i32 [8..],
        /// The offset committed, or -1 if there is none.
        committed_offset: i64 [8..],
        /// The leader epoch of the last record read, or -1.
        committed_leader_epoch: i32 [8..] = -1,
        /// What the committer wanted to remember with it, or null.
        metadata: Option<&'a str> [8.., null 8..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [8..],
    }
}

impl<'a> Request<'a> for OffsetFetchRequest<'a> {
    const KEY: ApiKey = ApiKey::OffsetFetch;
    type Response<'r> = OffsetFetchResponse<'r>;
}
