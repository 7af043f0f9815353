//! ListPartitionReassignments (API key 46): the replicas that are on the move.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Asks for the partitions whose replicas are moved.
    pub struct ListPartitionReassignmentsRequest<'a> [0..=0, flexible 0..] {
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 [0..] = 60_000,
        /// Topic by topic; null for all.
        topics: Option<Vec<ListPartitionReassignmentsTopics<'a>>> [0.., null 0..],
    }

    /// Partitions of one topic.
    pub struct ListPartitionReassignmentsTopics<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// The numbers of the partitions.
        partition_indexes: Vec<i32> [0..],
    }

    /// The partitions.
    pub struct ListPartitionReassignmentsResponse<'a> [0..=0, flexible 0..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// Topic by topic.
        topics: Vec<OngoingTopicReassignment<'a>> [0..],
    }

    /// The partitions of one topic.
    pub struct OngoingTopicReassignment<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<OngoingPartitionReassignment> [0..],
    }

    /// One partition.
    pub struct OngoingPartitionReassignment {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// The ids of the brokers that have it now.
        replicas: Vec<i32> [0..],
        /// Those that are being added.
        adding_replicas: Vec<i32> [0..],
        /// Those that are being removed.
        removing_replicas: Vec<i32> [0..],
    }
}

impl<'a> Request<'a> for ListPartitionReassignmentsRequest<'a> {
    const KEY: ApiKey = ApiKey::ListPartitionReassignments;
    type Response<'r> = ListPartitionReassignmentsResponse<'r>;
}
