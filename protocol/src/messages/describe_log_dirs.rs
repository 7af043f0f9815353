//! DescribeLogDirs (API key 35): the directories of a broker, and what its partitions take there.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Asks a broker for its directories, and for partitions in them.
    pub struct DescribeLogDirsRequest<'a> [1..=5, flexible 2..] {
        /// Topic by topic; null for all.
        topics: Option<Vec<DescribableLogDirTopic<'a>>> [0.., null 0..],
    }

    /// Partitions of one topic.
    pub struct DescribableLogDirTopic<'a> {
        /// The name of the topic.
        topic: &'a str [0..],
        /// The numbers of the partitions.
        partitions: Vec<i32> [0..],
    }

    /// The directories.
    pub struct DescribeLogDirsResponse<'a> [1..=5, flexible 2..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong with the request as a whole, or NONE.
        error_code: ErrorCode [3..],
        /// Directory by directory.
        results: Vec<DescribeLogDirsResult<'a>> [0..],
    }

    /// One directory.
    pub struct DescribeLogDirsResult<'a> {
        /// What is wrong with the directory, or NONE.
        error_code: ErrorCode [0..],
        /// The absolute path of the directory.
        log_dir: &'a str [0..],
        /// Topic by topic.
        topics: Vec<DescribeLogDirsTopic<'a>> [0..],
        /// The size of its volume in bytes, or -1.
        total_bytes: i64 [4..] = -1,
        /// What of that can be used, or -1.
        usable_bytes: i64 [4..] = -1,
        /// Whether it takes no new partitions.
        is_cordoned: bool [5..],
    }

    /// The partitions of one topic in a directory.
    pub struct DescribeLogDirsTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<DescribeLogDirsPartition> [0..],
    }

    /// One partition.
    pub struct DescribeLogDirsPartition {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// The bytes of its segments.
        partition_size: i64 [0..],
        /// How far its end lies behind the high watermark, or, of a future log, behind the end of the current one.
        offset_lag: i64 [0..],
        /// Whether the log will take the place of the current one.
        is_future_key: bool [0..],
    }
}

impl<'a> Request<'a> for DescribeLogDirsRequest<'a> {
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
    type Response<'r> = DescribeLogDirsResponse<'r>;
}
