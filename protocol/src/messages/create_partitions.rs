//! CreatePartitions (API key 37): adds partitions to topics.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Topics to enlarge.
    pub struct CreatePartitionsRequest<'a> [0..=3, flexible 2..] {
        /// Topic by topic.
        topics: Vec<CreatePartitionsTopic<'a>> [0..],
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 [0..],
        /// Whether to check only and change nothing.
        validate_only: bool [0..],
    }

    /// A topic to enlarge.
    pub struct CreatePartitionsTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// How many partitions the topic is to have in the end.
        count: i32 [0..],
        /// Who is to hold the new partitions, or null if the broker decides.
        assignments: Option<Vec<CreatePartitionsAssignment>> [0.., null 0..],
    }

    /// Who is to hold a new partition.
    pub struct CreatePartitionsAssignment {
        /// The brokers that are to hold the partition, the preferred leader first.
        broker_ids: Vec<i32> [0..],
    }

    /// What became of the topics.
    pub struct CreatePartitionsResponse<'a> [0..=3, flexible 2..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Topic by topic.
        results: Vec<CreatePartitionsTopicResult<'a>> [0..],
    }

    /// What became of one topic.
    pub struct CreatePartitionsTopicResult<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
    }
}

impl<'a> Request<'a> for CreatePartitionsRequest<'a> {
    const KEY: ApiKey = ApiKey::CreatePartitions;
    type Response<'r> = CreatePartitionsResponse<'r>;
}
