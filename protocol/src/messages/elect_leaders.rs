//! ElectLeaders (API key 43): partitions are to be led by their preferred replicas, or by whoever lives.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Partitions whose leaders are to be elected.
    pub struct ElectLeadersRequest<'a> [0..=2, flexible 2..] {
        /// 0 for the preferred replica, 1 for the first live one if none is in sync.
        election_type: i8 [1..],
        /// Topic by topic; null for all.
        topic_partitions: Option<Vec<TopicPartitions<'a>>> [0.., null 0..],
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 [0..] = 60_000,
    }

    /// Partitions of one topic.
    pub struct TopicPartitions<'a> {
        /// The name of the topic.
        topic: &'a str [0..],
        /// The numbers of the partitions.
        partitions: Vec<i32> [0..],
    }

    /// What became of the elections.
    pub struct ElectLeadersResponse<'a> [0..=2, flexible 2..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong with the request as a whole, or NONE.
        error_code: ErrorCode [1..],
        /// Topic by topic.
        replica_election_results: Vec<ReplicaElectionResult<'a>> [0..],
    }

    /// What became of one topic's elections.
    pub struct ReplicaElectionResult<'a> {
        /// The name of the topic.
        topic: &'a str [0..],
        /// Partition by partition.
        partition_result: Vec<PartitionResult<'a>> [0..],
    }

    /// What became of one election.
    pub struct PartitionResult<'a> {
        /// The number of the partition.
        partition_id: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
    }
}

impl<'a> Request<'a> for ElectLeadersRequest<'a> {
    const KEY: ApiKey = ApiKey::ElectLeaders;
    type Response<'r> = ElectLeadersResponse<'r>;
}
