//! CreateTopics (API key 19): creates topics.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};
use crate::wire::Uuid;

message! {
    /// Topics to create.
    pub struct CreateTopicsRequest<'a> [2..=7, flexible 5..] {
        /// Topic by topic.
        topics: Vec<CreatableTopic<'a>> [0..],
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 [0..] = 60000,
        /// Whether to check only and change nothing.
        validate_only: bool [1..],
    }

    /// A topic to create.
    pub struct CreatableTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// How many partitions, or -1 for the broker's default.
        num_partitions: i32 [0..],
        /// How many replicas of each, or -1 for the broker's default.
        replication_factor: i16 [0..],
        /// Who is to hold which partition, if the caller wants to decide.
        assignments: Vec<CreatableReplicaAssignment> [0..],
        /// The configuration.
        configs: Vec<CreatableTopicConfig<'a>> [0..],
    }

    /// Who is to hold a partition.
    pub struct CreatableReplicaAssignment {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// The brokers that are to hold the partition, the preferred leader first.
        broker_ids: Vec<i32> [0..],
    }

    /// An entry of the configuration.
    pub struct CreatableTopicConfig<'a> {
        /// The key.
        name: &'a str [0..],
        /// The value, or null.
        value: Option<&'a str> [0.., null 0..],
    }

    /// What became of the topics.
    pub struct CreateTopicsResponse<'a> [2..=7, flexible 5..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [2..],
        /// Topic by topic.
        topics: Vec<CreatableTopicResult<'a>> [0..],
    }

    /// What became of one topic.
    pub struct CreatableTopicResult<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// The id of the topic.
        topic_id: Uuid [7..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [1.., null 0..],
        /// How many partitions, or -1.
        num_partitions: i32 [5..] = -1,
        /// How many replicas of each, or -1.
        replication_factor: i16 [5..] = -1,
        /// The configuration, or null if it is not to be shown.
        configs: Option<Vec<CreatableTopicConfigs<'a>>> [5.., null 5..],
        /// Why the configuration is not shown, or NONE.
        topic_config_error_code: ErrorCode [5.., tag 0],
    }

    /// An entry of the configuration the topic has got.
    pub struct CreatableTopicConfigs<'a> {
        /// The key.
        name: &'a str [5..],
        /// The value, or null.
        value: Option<&'a str> [5.., null 5..],
        /// Whether it cannot be changed.
        read_only: bool [5..],
        /// Where the value comes from: 1 the topic, 2 one broker, 3 all brokers, 4 the broker's file, 5 the default.
        config_source: i8 [5..] = -1,
        /// Whether the value is a secret and therefore null.
        is_sensitive: bool [5..],
    }
}

impl<'a> Request<'a> for CreateTopicsRequest<'a> {
    const KEY: ApiKey = ApiKey::CreateTopics;
    type Response<'r> = CreateTopicsResponse<'r>;
}
