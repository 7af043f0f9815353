//! Produce (API key 0): appends record batches.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};
use crate::wire::Uuid;

message! {
    /// Batches to append, topic by topic. With `acks` 0 there is no response at all.
    pub struct ProduceRequest<'a> [3..=13, flexible 9..] {
        /// The transactional id, or null without transactions.
        transactional_id: Option<&'a str> [3.., null 3..],
        /// Who must have the records before the answer: 0 nobody, 1 the leader, -1 all replicas in sync.
        acks: i16 [0..],
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 [0..],
        /// Topic by topic.
        topic_data: Vec<TopicProduceData<'a>> [0..],
    }

    /// Batches for one topic.
    pub struct TopicProduceData<'a> {
        /// The name of the topic.
        name: &'a str [0..=12],
        /// The id of the topic.
        topic_id: Uuid [13..],
        /// Partition by partition.
        partition_data: Vec<PartitionProduceData> [0..],
    }

    /// A batch for one partition.
    pub struct PartitionProduceData {
        /// The number of the partition.
        index: i32 [0..],
        /// The record batches, or null.
        records: Option<Bytes> [0.., null 0..],
    }

    /// Where the batches went.
    pub struct ProduceResponse<'a> [3..=13, flexible 9..] {
        /// Topic by topic.
        responses: Vec<TopicProduceResponse<'a>> [0..],
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [1..],
        /// Where the leaders named above are found (KIP-951).
        node_endpoints: Vec<NodeEndpoint<'a>> [10.., tag 0],
    }

    /// The batches of one topic.
    pub struct TopicProduceResponse<'a> {
        /// The name of the topic.
        name: &'a str [0..=12],
        /// The id of the topic.
        topic_id: Uuid [13..],
        /// Partition by partition.
        partition_responses: Vec<PartitionProduceResponse<'a>> [0..],
    }

    /// A broker and where it listens.
    pub struct NodeEndpoint<'a> {
        /// The id of the broker.
        node_id: i32 [10..],
        /// The host it listens on.
        host: &'a str [10..],
        /// The port it listens on.
        port: i32 [10..],
        /// The rack of the broker, or null.
        rack: Option<&'a str> [10.., null 10..],
    }

    /// The batch of one partition.
    pub struct PartitionProduceResponse<'a> {
        /// The number of the partition.
        index: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The offset of the first record.
        base_offset: i64 [0..],
        /// When the broker appended, in milliseconds, or -1 if the records keep their own timestamps.
        log_append_time_ms: i64 [2..] = -1,
        /// The first offset of the log, or -1.
        log_start_offset: i64 [5..] = -1,
        /// The records that made the batch be refused.
        record_errors: Vec<BatchIndexAndErrorMessage<'a>> [8..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [8.., null 8..],
        /// The leader, if the client asked another broker or an older epoch.
        current_leader: LeaderIdAndEpoch [10.., tag 0],
    }

    /// A record that was refused.
    pub struct BatchIndexAndErrorMessage<'a> {
        /// Which record of the batch.
        batch_index: i32 [8..],
        /// What is wrong with it, or null.
        batch_index_error_message: Option<&'a str> [8.., null 8..],
    }

    /// The leader a client should know when its own knowledge is old.
    pub struct LeaderIdAndEpoch {
        /// The id of the leader, or -1.
        leader_id: i32 [10..] = -1,
        /// The epoch of the leader, or -1.
        leader_epoch: i32 [10..] = -1,
    }
}

impl<'a> Request<'a> for ProduceRequest<'a> {
    const KEY: ApiKey = ApiKey::Produce;
    type Response<'r> = ProduceResponse<'r>;
}
