//! OffsetDelete (API key 47): forgets offsets of topics that a group does not read. The one API of its age that never
//! became flexible.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Offsets to forget.
    pub struct OffsetDeleteRequest<'a> [0..=0] {
        /// The group.
        group_id: &'a str [0..],
        /// Topic by topic.
        topics: Vec<OffsetDeleteRequestTopic<'a>> [0..],
    }

    /// Partitions of one topic.
    pub struct OffsetDeleteRequestTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<OffsetDeleteRequestPartition> [0..],
    }

    /// A partition.
    pub struct OffsetDeleteRequestPartition {
        /// The number of the partition.
        partition_index: i32 [0..],
    }

    /// What became of the offsets.
    pub struct OffsetDeleteResponse<'a> [0..=0] {
        /// What went wrong with the request as a whole, or NONE.
        error_code: ErrorCode [0..],
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Topic by topic.
        topics: Vec<OffsetDeleteResponseTopic<'a>> [0..],
    }

    /// What became of one topic.
    pub struct OffsetDeleteResponseTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<OffsetDeleteResponsePartition> [0..],
    }

    /// What became of one partition.
    pub struct OffsetDeleteResponsePartition {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
    }
}

impl<'a> Request<'a> for OffsetDeleteRequest<'a> {
    const KEY: ApiKey = ApiKey::OffsetDelete;
    type Response<'r> = OffsetDeleteResponse<'r>;
}
