//! DescribeQuorum (API key 55): who leads the metadata, and how far the others are.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};
use crate::wire::Uuid;

message! {
    /// Asks for the quorum of partitions; only that of the metadata has one.
    pub struct DescribeQuorumRequest<'a> [0..=2, flexible 0..] {
        /// Topic by topic.
        topics: Vec<TopicRequest<'a>> [0..],
    }

    /// Partitions of one topic.
    pub struct TopicRequest<'a> {
        /// The name of the topic.
        topic_name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<PartitionRequest> [0..],
    }

    /// One partition.
    pub struct PartitionRequest {
        /// The number of the partition.
        partition_index: i32 [0..],
    }

    /// The quorums.
    pub struct DescribeQuorumResponse<'a> [0..=2, flexible 0..] {
        /// What went wrong with the request as a whole, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [2.., null 2..],
        /// Topic by topic.
        topics: Vec<TopicResponse<'a>> [0..],
        /// The nodes of the quorum.
        nodes: Vec<QuorumNode<'a>> [2..],
    }

    /// The quorums of one topic.
    pub struct TopicResponse<'a> {
        /// The name of the topic.
        topic_name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<PartitionResponse<'a>> [0..],
    }

    /// One quorum.
    pub struct PartitionResponse<'a> {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [2.., null 2..],
        /// The id of the leader, or -1 if it is not known.
        leader_id: i32 [0..],
        /// The epoch of the leader.
        leader_epoch: i32 [0..],
        /// The offset behind what a majority has.
        high_watermark: i64 [0..],
        /// Those who vote.
        current_voters: Vec<ReplicaState> [0..],
        /// Those who only follow.
        observers: Vec<ReplicaState> [0..],
    }

    /// How far a node is.
    pub struct ReplicaState {
        /// The id of the node.
        replica_id: i32 [0..],
        /// The id of its directory.
        replica_directory_id: Uuid [2..],
        /// The end of its log, or -1.
        log_end_offset: i64 [0..],
        /// When it has fetched last, by the leader's clock, or -1.
        last_fetch_timestamp: i64 [1..] = -1,
        /// When it had all there was, by the leader's clock, or -1.
        last_caught_up_timestamp: i64 [1..] = -1,
    }

    /// A node and where it listens.
    pub struct QuorumNode<'a> {
        /// The id of the node.
        node_id: i32 [2..],
        /// Listener by listener.
        listeners: Vec<QuorumListener<'a>> [2..],
    }

    /// Where a node listens.
    pub struct QuorumListener<'a> {
        /// The name of the listener.
        name: &'a str [2..],
        /// The host.
        host: &'a str [2..],
        /// The port.
        port: u16 [2..],
    }
}

impl<'a> Request<'a> for DescribeQuorumRequest<'a> {
    const KEY: ApiKey = ApiKey::DescribeQuorum;
    type Response<'r> = DescribeQuorumResponse<'r>;
}
