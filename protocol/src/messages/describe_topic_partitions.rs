//! DescribeTopicPartitions (API key 75): the partitions of topics, page by page.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};
use crate::wire::Uuid;

message! {
    /// Topics to describe, from a cursor on.
    pub struct DescribeTopicPartitionsRequest<'a> [0..=0, flexible 0..] {
        /// Topic by topic.
        topics: Vec<TopicRequest<'a>> [0..],
        /// How many partitions a page may hold.
        response_partition_limit: i32 [0..] = 2000,
        /// Where to begin, or null for the beginning.
        cursor: Option<Cursor<'a>> [0.., null 0..],
    }

    /// A topic.
    pub struct TopicRequest<'a> {
        /// The name of the topic.
        name: &'a str [0..],
    }

    /// Where a page begins.
    pub struct Cursor<'a> {
        /// The name of the topic.
        topic_name: &'a str [0..],
        /// The number of the partition.
        partition_index: i32 [0..],
    }

    /// A page of partitions.
    pub struct DescribeTopicPartitionsResponse<'a> [0..=0, flexible 0..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Topic by topic.
        topics: Vec<DescribeTopicPartitionsResponseTopic<'a>> [0..],
        /// Where the next page begins, or null after the last.
        next_cursor: Option<Cursor<'a>> [0.., null 0..],
    }

    /// A topic.
    pub struct DescribeTopicPartitionsResponseTopic<'a> {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The name, or null.
        name: Option<&'a str> [0.., null 0..],
        /// The id of the topic.
        topic_id: Uuid [0..],
        /// Whether the topic is one of Kafka's own.
        is_internal: bool [0..],
        /// Partition by partition.
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [0..],
        /// What the caller may do with the topic, as bits; `i32::MIN` if not asked for.
        topic_authorized_operations: i32 [0..] = i32::MIN,
    }

    /// A partition, its leader and its replicas.
    pub struct DescribeTopicPartitionsResponsePartition {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The number of the partition.
        partition_index: i32 [0..],
        /// The id of the leader, or -1.
        leader_id: i32 [0..],
        /// The epoch of the leader, or -1.
        leader_epoch: i32 [0..] = -1,
        /// The brokers that hold the partition.
        replica_nodes: Vec<i32> [0..],
        /// Those of them in sync.
        isr_nodes: Vec<i32> [0..],
        /// Replicas out of sync that may lead nevertheless (KIP-966), or null.
        eligible_leader_replicas: Option<Vec<i32>> [0.., null 0..],
        /// The last such replicas known, or null.
        last_known_elr: Option<Vec<i32>> [0.., null 0..],
        /// Those of them that are down.
        offline_replicas: Vec<i32> [0..],
    }
}

impl<'a> Request<'a> for DescribeTopicPartitionsRequest<'a> {
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
    type Response<'r> = DescribeTopicPartitionsResponse<'r>;
}
