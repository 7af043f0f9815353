//! AlterReplicaLogDirs (API key 34): moves replicas of a broker into other of its data directories.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Where replicas are to lie.
    pub struct AlterReplicaLogDirsRequest<'a> [1..=2, flexible 2..] {
        /// Directory by directory.
        dirs: Vec<AlterReplicaLogDir<'a>> [0..],
    }

    /// What is to lie in one directory.
    pub struct AlterReplicaLogDir<'a> {
        /// The directory's absolute path.
        path: &'a str [0..],
        /// Topic by topic.
        topics: Vec<AlterReplicaLogDirTopic<'a>> [0..],
    }

    /// Replicas of one topic.
    pub struct AlterReplicaLogDirTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// The numbers of the partitions.
        partitions: Vec<i32> [0..],
    }

    /// What became of the replicas.
    pub struct AlterReplicaLogDirsResponse<'a> [1..=2, flexible 2..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Topic by topic.
        results: Vec<AlterReplicaLogDirTopicResult<'a>> [0..],
    }

    /// What became of the replicas of one topic.
    pub struct AlterReplicaLogDirTopicResult<'a> {
        /// The name of the topic.
        topic_name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<AlterReplicaLogDirPartitionResult> [0..],
    }

    /// What became of one replica.
    pub struct AlterReplicaLogDirPartitionResult {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
    }
}

impl<'a> Request<'a> for AlterReplicaLogDirsRequest<'a> {
    const KEY: ApiKey = ApiKey::AlterReplicaLogDirs;
    type Response<'r> = AlterReplicaLogDirsResponse<'r>;
}
