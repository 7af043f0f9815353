//! Fetch (API key 1): reads record batches, waiting until there are enough.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};
use crate::wire::Uuid;

message! {
    /// What to read from where, and how long to wait for how much.
    pub struct FetchRequest<'a> [4..=18, flexible 12..] {
        /// The follower that asks, or -1 for a consumer.
        replica_id: i32 [0..=14] = -1,
        /// How long to wait for enough bytes, in milliseconds.
        max_wait_ms: i32 [0..],
        /// How many bytes are enough.
        min_bytes: i32 [0..],
        /// How many bytes are too many; a first batch is sent whole nevertheless.
        max_bytes: i32 [3..] = i32::MAX,
        /// 0 reads all records, 1 only those of committed transactions.
        isolation_level: i8 [4..],
        /// The fetch session (KIP-227), or 0.
        session_id: i32 [7..],
        /// Where the session stands: 0 opens one, -1 has none.
        session_epoch: i32 [7..] = -1,
        /// Topic by topic.
        topics: Vec<FetchTopic<'a>> [0..],
        /// What to take out of the session.
        forgotten_topics_data: Vec<ForgottenTopic<'a>> [7..],
        /// The rack of the consumer, to be served by a replica nearby.
        rack_id: &'a str [11..],
        /// The cluster the sender believes in, or null.
        cluster_id: Option<&'a str> [12.., null 12.., tag 0],
        /// The follower that asks.
        replica_state: ReplicaState [15.., tag 1],
    }

    /// Which follower asks.
    pub struct ReplicaState {
        /// The follower that asks, or -1 for a consumer.
        replica_id: i32 [15..] = -1,
        /// The epoch of that broker, or -1.
        replica_epoch: i64 [15..] = -1,
    }

    /// What to read of one topic.
    pub struct FetchTopic<'a> {
        /// The name of the topic.
        topic: &'a str [0..=12],
        /// The id of the topic.
        topic_id: Uuid [13..],
        /// Partition by partition.
        partitions: Vec<FetchPartition> [0..],
    }

    /// Partitions to take out of the fetch session.
    pub struct ForgottenTopic<'a> {
        /// The name of the topic.
        topic: &'a str [7..=12],
        /// The id of the topic.
        topic_id: Uuid [13..],
        /// The numbers of the partitions.
        partitions: Vec<i32> [7..],
    }

    /// From where to read one partition.
    pub struct FetchPartition {
        /// The number of the partition.
        partition: i32 [0..],
        /// The epoch the client knows, or -1; an older one is fenced.
        current_leader_epoch: i32 [9..] = -1,
        /// The first offset wanted.
        fetch_offset: i64 [0..],
        /// The epoch of the last record the follower has, or -1.
        last_fetched_epoch: i32 [12..] = -1,
        /// The first offset of the follower's log, or -1.
        log_start_offset: i64 [5..] = -1,
        /// How many bytes of this partition are too many.
        partition_max_bytes: i32 [0..],
        /// The directory of the follower's replica.
        replica_directory_id: Uuid [17.., tag 0],
        /// The high watermark the follower knows.
        high_watermark: i64 [18.., tag 1] = i64::MAX,
    }

    /// The records there are.
    pub struct FetchResponse<'a> [4..=18, flexible 12..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [1..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [7..],
        /// The fetch session (KIP-227), or 0.
        session_id: i32 [7..],
        /// Topic by topic.
        responses: Vec<FetchableTopicResponse<'a>> [0..],
        /// Where the leaders named above are found (KIP-951).
        node_endpoints: Vec<NodeEndpoint<'a>> [16.., tag 0],
    }

    /// The records of one topic.
    pub struct FetchableTopicResponse<'a> {
        /// The name of the topic.
        topic: &'a str [0..=12],
        /// The id of the topic.
        topic_id: Uuid [13..],
        /// Partition by partition.
        partitions: Vec<PartitionData> [0..],
    }

    /// A broker and where it listens.
    pub struct NodeEndpoint<'a> {
        /// The id of the broker.
        node_id: i32 [16..],
        /// The host it listens on.
        host: &'a str [16..],
        /// The port it listens on.
        port: i32 [16..],
        /// The rack of the broker, or null.
        rack: Option<&'a str> [16.., null 16..],
    }

    /// The records of one partition.
    pub struct PartitionData {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The offset behind the last record that all replicas in sync have.
        high_watermark: i64 [0..],
        /// The offset before which all transactions are decided, or -1.
        last_stable_offset: i64 [4..] = -1,
        /// The first offset of the log, or -1.
        log_start_offset: i64 [5..] = -1,
        /// The aborted transactions among the records, or null.
        aborted_transactions: Option<Vec<AbortedTransaction>> [4.., null 4..],
        /// The broker the consumer should rather read from, or -1.
        preferred_read_replica: i32 [11..] = -1,
        /// The record batches, or null.
        records: Option<Bytes> [0.., null 0..],
        /// Where the follower must cut its log.
        diverging_epoch: EpochEndOffset [12.., tag 0],
        /// The leader, if the client asked another broker or an older epoch.
        current_leader: LeaderIdAndEpoch [12.., tag 1],
        /// The snapshot to load instead, of the metadata log.
        snapshot_id: SnapshotId [12.., tag 2],
    }

    /// Where the log of the follower departs from the leader's.
    pub struct EpochEndOffset {
        /// The epoch, or -1.
        epoch: i32 [12..] = -1,
        /// The offset behind the last record of that epoch, or -1.
        end_offset: i64 [12..] = -1,
    }

    /// The leader a client should know when its own knowledge is old.
    pub struct LeaderIdAndEpoch {
        /// The id of the leader, or -1.
        leader_id: i32 [12..] = -1,
        /// The epoch of the leader, or -1.
        leader_epoch: i32 [12..] = -1,
    }

    /// A snapshot of the metadata log.
    pub struct SnapshotId {
        /// The offset behind its last record, or -1.
        end_offset: i64 [0..] = -1,
        /// The epoch of its last record, or -1.
        epoch: i32 [0..] = -1,
    }

    /// A transaction whose records a reader of committed records leaves out.
    pub struct AbortedTransaction {
        /// The id of the producer.
        producer_id: i64 [4..],
        /// The offset of its first record.
        first_offset: i64 [4..],
    }
}

impl<'a> Request<'a> for FetchRequest<'a> {
    const KEY: ApiKey = ApiKey::Fetch;
    type Response<'r> = FetchResponse<'r>;
}
