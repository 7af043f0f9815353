//! DescribeProducers (API key 61): the producers that have written to partitions lately, and their open transactions.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Partitions to look at.
    pub struct DescribeProducersRequest<'a> [0..=0, flexible 0..] {
        /// Topic by topic.
        topics: Vec<TopicRequest<'a>> [0..],
    }

    /// Partitions of one topic.
    pub struct TopicRequest<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// The numbers of the partitions.
        partition_indexes: Vec<i32> [0..],
    }

    /// The producers.
    pub struct DescribeProducersResponse<'a> [0..=0, flexible 0..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Topic by topic.
        topics: Vec<TopicResponse<'a>> [0..],
    }

    /// The producers of one topic.
    pub struct TopicResponse<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<PartitionResponse<'a>> [0..],
    }

    /// The producers of one partition.
    pub struct PartitionResponse<'a> {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// Producer by producer.
        active_producers: Vec<ProducerState> [0..],
    }

    /// A producer.
    pub struct ProducerState {
        /// The id of the producer.
        producer_id: i64 [0..],
        /// The epoch of the producer.
        producer_epoch: i32 [0..],
        /// The sequence number of its last record, or -1.
        last_sequence: i32 [0..] = -1,
        /// The timestamp of its last record, or -1.
        last_timestamp: i64 [0..] = -1,
        /// The epoch of the coordinator that last ended a transaction of it, or -1.
        coordinator_epoch: i32 [0..],
        /// The offset at which its open transaction begins, or -1.
        current_txn_start_offset: i64 [0..] = -1,
    }
}

impl<'a> Request<'a> for DescribeProducersRequest<'a> {
    const KEY: ApiKey = ApiKey::DescribeProducers;
    type Response<'r> = DescribeProducersResponse<'r>;
}
