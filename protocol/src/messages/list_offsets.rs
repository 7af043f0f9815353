//! ListOffsets (API key 2): the offset of a time, of the beginning or of the end.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Asks for offsets by time.
    pub struct ListOffsetsRequest<'a> [1..=11, flexible 6..] {
        /// The follower that asks, or -1 for a consumer.
        replica_id: i32 [0..],
        /// 0 reads all records, 1 only those of committed transactions.
        isolation_level: i8 [2..],
        /// Topic by topic.
        topics: Vec<ListOffsetsTopic<'a>> [0..],
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 [10..],
    }

    /// Times for one topic.
    pub struct ListOffsetsTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<ListOffsetsPartition> [0..],
    }

    /// The time for one partition.
    pub struct ListOffsetsPartition {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// The epoch the client knows, or -1; an older one is fenced.
        current_leader_epoch: i32 [4..] = -1,
        /// A time in milliseconds, or one of the names below zero: -1 latest, -2 earliest, -3 largest timestamp, ...
        timestamp: i64 [0..],
    }

    /// The offsets found.
    pub struct ListOffsetsResponse<'a> [1..=11, flexible 6..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [2..],
        /// Topic by topic.
        topics: Vec<ListOffsetsTopicResponse<'a>> [0..],
    }

    /// The offsets of one topic.
    pub struct ListOffsetsTopicResponse<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<ListOffsetsPartitionResponse> [0..],
    }

    /// The offset of one partition.
    pub struct ListOffsetsPartitionResponse {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The timestamp of the record found, or -1.
        timestamp: i64 [1..] = -1,
        /// Its offset, or -1.
        offset: i64 [1..] = -1,
        /// The epoch of the leader, or -1.
        leader_epoch: i32 [4..] = -1,
    }
}

impl<'a> Request<'a> for ListOffsetsRequest<'a> {
    const KEY: ApiKey = ApiKey::ListOffsets;
    type Response<'r> = ListOffsetsResponse<'r>;
}
