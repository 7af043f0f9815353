//! AlterPartitionReassignments (API key 45): moves replicas to other brokers, or calls a move off.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Where partitions are to be.
    pub struct AlterPartitionReassignmentsRequest<'a> [0..=1, flexible 0..] {
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 [0..] = 60_000,
        /// Whether the number of replicas may change.
        allow_replication_factor_change: bool [1..] = true,
        /// Topic by topic.
        topics: Vec<ReassignableTopic<'a>> [0..],
    }

    /// Where the partitions of one topic are to be.
    pub struct ReassignableTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<ReassignablePartition> [0..],
    }

    /// Where one partition is to be.
    pub struct ReassignablePartition {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// The ids of the brokers, or null to call off a move.
        replicas: Option<Vec<i32>> [0.., null 0..],
    }

    /// What became of it.
    pub struct AlterPartitionReassignmentsResponse<'a> [0..=1, flexible 0..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Whether the number of replicas might change.
        allow_replication_factor_change: bool [1..] = true,
        /// What went wrong with the request as a whole, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// Topic by topic.
        responses: Vec<ReassignableTopicResponse<'a>> [0..],
    }

    /// What became of one topic.
    pub struct ReassignableTopicResponse<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<ReassignablePartitionResponse<'a>> [0..],
    }

    /// What became of one partition.
    pub struct ReassignablePartitionResponse<'a> {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
    }
}

impl<'a> Request<'a> for AlterPartitionReassignmentsRequest<'a> {
    const KEY: ApiKey = ApiKey::AlterPartitionReassignments;
    type Response<'r> = AlterPartitionReassignmentsResponse<'r>;
}
