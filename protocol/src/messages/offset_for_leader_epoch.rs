//! OffsetForLeaderEpoch (API key 23): where the records of a leader epoch end.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Asks where leader epochs end.
    pub struct OffsetForLeaderEpochRequest<'a> [2..=4, flexible 4..] {
        /// The follower that asks, -1 for a consumer, -2 for a debugging tool.
        replica_id: i32 [3..] = -2,
        /// Topic by topic.
        topics: Vec<OffsetForLeaderTopic<'a>> [0..],
    }

    /// Epochs of one topic.
    pub struct OffsetForLeaderTopic<'a> {
        /// The name of the topic.
        topic: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<OffsetForLeaderPartition> [0..],
    }

    /// The epoch of one partition.
    pub struct OffsetForLeaderPartition {
        /// The number of the partition.
        partition: i32 [0..],
        /// The epoch the client knows, or -1; an older one is fenced.
        current_leader_epoch: i32 [2..] = -1,
        /// The epoch asked for.
        leader_epoch: i32 [0..],
    }

    /// Where they end.
    pub struct OffsetForLeaderEpochResponse<'a> [2..=4, flexible 4..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [2..],
        /// Topic by topic.
        topics: Vec<OffsetForLeaderTopicResult<'a>> [0..],
    }

    /// The ends of one topic.
    pub struct OffsetForLeaderTopicResult<'a> {
        /// The name of the topic.
        topic: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<EpochEndOffset> [0..],
    }

    /// Where the log of the follower departs from the leader's.
    pub struct EpochEndOffset {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The number of the partition.
        partition: i32 [0..],
        /// The epoch of the leader, or -1.
        leader_epoch: i32 [1..] = -1,
        /// The offset behind the last record of that epoch, or -1.
        end_offset: i64 [0..] = -1,
    }
}

impl<'a> Request<'a> for OffsetForLeaderEpochRequest<'a> {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    type Response<'r> = OffsetForLeaderEpochResponse<'r>;
}
