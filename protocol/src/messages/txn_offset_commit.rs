//! TxnOffsetCommit (API key 28): commits offsets of a group when a transaction is committed, and not before.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Offsets to commit with a transaction.
    pub struct TxnOffsetCommitRequest<'a> [0..=5, flexible 3..] {
        /// The transactional id.
        transactional_id: &'a str [0..],
        /// The group.
        group_id: &'a str [0..],
        /// The id of the producer.
        producer_id: i64 [0..],
        /// The epoch of the producer.
        producer_epoch: i16 [0..],
        /// The generation of the consumer, or -1 (KIP-447).
        generation_id: i32 [3..] = -1,
        /// The member that has read as far as this, or nothing.
        member_id: &'a str [3..],
        /// The instance id of a static member, or null.
        group_instance_id: Option<&'a str> [3.., null 3..],
        /// Topic by topic.
        topics: Vec<TxnOffsetCommitRequestTopic<'a>> [0..],
    }

    /// Offsets of one topic.
    pub struct TxnOffsetCommitRequestTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<TxnOffsetCommitRequestPartition<'a>> [0..],
    }

    /// The offset of one partition.
    pub struct TxnOffsetCommitRequestPartition<'a> {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// The next offset to be read.
        committed_offset: i64 [0..],
        /// The leader epoch of the last record read, or -1.
        committed_leader_epoch: i32 [2..] = -1,
        /// What the client wants to keep with it, or null.
        committed_metadata: Option<&'a str> [0.., null 0..],
    }

    /// What became of the offsets.
    pub struct TxnOffsetCommitResponse<'a> [0..=5, flexible 3..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Topic by topic.
        topics: Vec<TxnOffsetCommitResponseTopic<'a>> [0..],
    }

    /// What became of one topic's offsets.
    pub struct TxnOffsetCommitResponseTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<TxnOffsetCommitResponsePartition> [0..],
    }

    /// What became of one partition's offset.
    pub struct TxnOffsetCommitResponsePartition {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
    }
}

impl<'a> Request<'a> for TxnOffsetCommitRequest<'a> {
    const KEY: ApiKey = ApiKey::TxnOffsetCommit;
    type Response<'r> = TxnOffsetCommitResponse<'r>;
}
