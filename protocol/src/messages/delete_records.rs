//! DeleteRecords (API key 21): moves the beginning of partitions forward.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// From where on the records are to stay.
    pub struct DeleteRecordsRequest<'a> [0..=2, flexible 2..] {
        /// Topic by topic.
        topics: Vec<DeleteRecordsTopic<'a>> [0..],
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 [0..],
    }

    /// Offsets of one topic.
    pub struct DeleteRecordsTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<DeleteRecordsPartition> [0..],
    }

    /// The offset of one partition.
    pub struct DeleteRecordsPartition {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// The first offset to stay, or -1 for none: the high watermark.
        offset: i64 [0..],
    }

    /// What became of the partitions.
    pub struct DeleteRecordsResponse<'a> [0..=2, flexible 2..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Topic by topic.
        topics: Vec<DeleteRecordsTopicResult<'a>> [0..],
    }

    /// What became of one topic.
    pub struct DeleteRecordsTopicResult<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<DeleteRecordsPartitionResult> [0..],
    }

    /// What became of one partition.
    pub struct DeleteRecordsPartitionResult {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// The first offset there is, or -1.
        low_watermark: i64 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
    }
}

impl<'a> Request<'a> for DeleteRecordsRequest<'a> {
    const KEY: ApiKey = ApiKey::DeleteRecords;
    type Response<'r> = DeleteRecordsResponse<'r>;
}
