//! WriteTxnMarkers (API key 27): ends transactions in partitions. Sent by transaction coordinators, and by tools that end
//! a transaction which no coordinator knows.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// The markers to write.
    pub struct WriteTxnMarkersRequest<'a> [1..=2, flexible 1..] {
        /// Producer by producer.
        markers: Vec<WritableTxnMarker<'a>> [0..],
    }

    /// The end of one producer's transaction.
    pub struct WritableTxnMarker<'a> {
        /// The id of the producer.
        producer_id: i64 [0..],
        /// The epoch of the producer.
        producer_epoch: i16 [0..],
        /// Whether the transaction is committed; else it is aborted.
        transaction_result: bool [0..],
        /// Topic by topic.
        topics: Vec<WritableTxnMarkerTopic<'a>> [0..],
        /// The epoch of the coordinator.
        coordinator_epoch: i32 [0..],
        /// The level of `transaction.version` that the producer uses (KIP-1228).
        transaction_version: i8 [2..],
    }

    /// Partitions of one topic.
    pub struct WritableTxnMarkerTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// The numbers of the partitions.
        partition_indexes: Vec<i32> [0..],
    }

    /// What became of the markers.
    pub struct WriteTxnMarkersResponse<'a> [1..=2, flexible 1..] {
        /// Producer by producer.
        markers: Vec<WritableTxnMarkerResult<'a>> [0..],
    }

    /// What became of one producer's markers.
    pub struct WritableTxnMarkerResult<'a> {
        /// The id of the producer.
        producer_id: i64 [0..],
        /// Topic by topic.
        topics: Vec<WritableTxnMarkerTopicResult<'a>> [0..],
    }

    /// What became of the markers in one topic.
    pub struct WritableTxnMarkerTopicResult<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        partitions: Vec<WritableTxnMarkerPartitionResult> [0..],
    }

    /// What became of the marker in one partition.
    pub struct WritableTxnMarkerPartitionResult {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
    }
}

impl<'a> Request<'a> for WriteTxnMarkersRequest<'a> {
    const KEY: ApiKey = ApiKey::WriteTxnMarkers;
    type Response<'r> = WriteTxnMarkersResponse<'r>;
}
