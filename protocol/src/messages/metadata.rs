//! Metadata (API key 3): the brokers, the topics and who leads their partitions.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};
use crate::wire::Uuid;

message! {
    /// Asks for topics, creating them if that is allowed.
    pub struct MetadataRequest<'a> [0..=13, flexible 9..] {
        /// The topics; null for all, and in version 0 none for all.
        topics: Option<Vec<MetadataRequestTopic<'a>>> [0.., null 1..],
        /// Whether a missing topic may be created, if the broker does that.
        allow_auto_topic_creation: bool [4..] = true,
        /// Whether to tell what the caller may do with the cluster.
        include_cluster_authorized_operations: bool [8..=10],
        /// Whether to tell what the caller may do with each topic.
        include_topic_authorized_operations: bool [8..],
    }

    /// A topic asked for, by id or by name.
    pub struct MetadataRequestTopic<'a> {
        /// The id, or zero if asked for by name.
        topic_id: Uuid [10..],
        /// The name, or null if asked for by id.
        name: Option<&'a str> [0.., null 10..],
    }

    /// The brokers and the topics asked for.
    pub struct MetadataResponse<'a> [0..=13, flexible 9..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [3..],
        /// The brokers alive.
        brokers: Vec<MetadataResponseBroker<'a>> [0..],
        /// The id of the cluster, or null.
        cluster_id: Option<&'a str> [2.., null 2..],
        /// The broker to send administration to.
        controller_id: i32 [1..] = -1,
        /// Topic by topic.
        topics: Vec<MetadataResponseTopic<'a>> [0..],
        /// What the caller may do with the cluster, as bits; `i32::MIN` if not asked for.
        cluster_authorized_operations: i32 [8..=10] = i32::MIN,
        /// What went wrong, or NONE.
        error_code: ErrorCode [13..],
    }

    /// A broker and where it listens.
    pub struct MetadataResponseBroker<'a> {
        /// The id of the broker.
        node_id: i32 [0..],
        /// The host it listens on.
        host: &'a str [0..],
        /// The port it listens on.
        port: i32 [0..],
        /// The rack of the broker, or null.
        rack: Option<&'a str> [1.., null 1..],
    }

    /// A topic.
    pub struct MetadataResponseTopic<'a> {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The name, or null for an id that is not known.
        name: Option<&'a str> [0.., null 12..],
        /// The id of the topic.
        topic_id: Uuid [10..],
        /// Whether the topic is one of Kafka's own.
        is_internal: bool [1..],
        /// Partition by partition.
        partitions: Vec<MetadataResponsePartition> [0..],
        /// What the caller may do with the topic, as bits; `i32::MIN` if not asked for.
        topic_authorized_operations: i32 [8..] = i32::MIN,
    }

    /// A partition, its leader and its replicas.
    pub struct MetadataResponsePartition {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The number of the partition.
        partition_index: i32 [0..],
        /// The id of the leader, or -1.
        leader_id: i32 [0..],
        /// The epoch of the leader, or -1.
        leader_epoch: i32 [7..] = -1,
        /// The brokers that hold the partition.
        replica_nodes: Vec<i32> [0..],
        /// Those of them in sync.
        isr_nodes: Vec<i32> [0..],
        /// Those of them that are down.
        offline_replicas: Vec<i32> [5..],
    }
}

impl<'a> Request<'a> for MetadataRequest<'a> {
    const KEY: ApiKey = ApiKey::Metadata;
    type Response<'r> = MetadataResponse<'r>;
}
