//! AddPartitionsToTxn (API key 24): makes partitions part of a transaction, before its producer writes to them.
//!
//! Clients send one transaction, in versions up to 3; brokers send many, in versions from 4 on, and may only ask whether
//! the partitions are part of it already (KIP-890).

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Partitions that are to become part of transactions.
    pub struct AddPartitionsToTxnRequest<'a> [0..=5, flexible 3..] {
        /// Transaction by transaction, in versions of brokers.
        transactions: Vec<AddPartitionsToTxnTransaction<'a>> [4..],
        /// The transactional id.
        v3_and_below_transactional_id: &'a str [0..=3],
        /// The id of the producer.
        v3_and_below_producer_id: i64 [0..=3],
        /// The epoch of the producer.
        v3_and_below_producer_epoch: i16 [0..=3],
        /// Topic by topic.
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic<'a>> [0..=3],
    }

    /// Partitions for one transaction.
    pub struct AddPartitionsToTxnTransaction<'a> {
        /// The transactional id.
        transactional_id: &'a str [4..],
        /// The id of the producer.
        producer_id: i64 [4..],
        /// The epoch of the producer.
        producer_epoch: i16 [4..],
        /// Only ask whether the partitions are part of the transaction.
        verify_only: bool [4..],
        /// Topic by topic.
        topics: Vec<AddPartitionsToTxnTopic<'a>> [4..],
    }

    /// Partitions of one topic.
    pub struct AddPartitionsToTxnTopic<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// The numbers of the partitions.
        partitions: Vec<i32> [0..],
    }

    /// What became of the partitions.
    pub struct AddPartitionsToTxnResponse<'a> [0..=5, flexible 3..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong with the request as a whole, or NONE.
        error_code: ErrorCode [4..],
        /// Transaction by transaction, in versions of brokers.
        results_by_transaction: Vec<AddPartitionsToTxnResult<'a>> [4..],
        /// Topic by topic.
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult<'a>> [0..=3],
    }

    /// What became of one transaction.
    pub struct AddPartitionsToTxnResult<'a> {
        /// The transactional id.
        transactional_id: &'a str [4..],
        /// Topic by topic.
        topic_results: Vec<AddPartitionsToTxnTopicResult<'a>> [4..],
    }

    /// What became of one topic.
    pub struct AddPartitionsToTxnTopicResult<'a> {
        /// The name of the topic.
        name: &'a str [0..],
        /// Partition by partition.
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult> [0..],
    }

    /// What became of one partition.
    pub struct AddPartitionsToTxnPartitionResult {
        /// The number of the partition.
        partition_index: i32 [0..],
        /// What went wrong, or NONE.
        partition_error_code: ErrorCode [0..],
    }
}

impl<'a> Request<'a> for AddPartitionsToTxnRequest<'a> {
    const KEY: ApiKey = ApiKey::AddPartitionsToTxn;
    type Response<'r> = AddPartitionsToTxnResponse<'r>;
}
