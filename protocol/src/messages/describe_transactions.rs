//! DescribeTransactions (API key 65): how transactions stand.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Transactional ids to look at.
    pub struct DescribeTransactionsRequest<'a> [0..=0, flexible 0..] {
        /// The transactional ids; none for none.
        transactional_ids: Vec<&'a str> [0..],
    }

    /// How they stand.
    pub struct DescribeTransactionsResponse<'a> [0..=0, flexible 0..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Transactional id by transactional id.
        transaction_states: Vec<TransactionState<'a>> [0..],
    }

    /// How one of them stands.
    pub struct TransactionState<'a> {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The transactional id.
        transactional_id: &'a str [0..],
        /// The state: `Empty`, `Ongoing`, ...
        transaction_state: &'a str [0..],
        /// After how long an unfinished transaction is aborted, in milliseconds.
        transaction_timeout_ms: i32 [0..],
        /// When the transaction began, in milliseconds.
        transaction_start_time_ms: i64 [0..],
        /// The id of the producer.
        producer_id: i64 [0..],
        /// The epoch of the producer.
        producer_epoch: i16 [0..],
        /// The partitions of the transaction; once it ends, those that have no marker yet.
        topics: Vec<TopicData<'a>> [0..],
    }

    /// Partitions of one topic.
    pub struct TopicData<'a> {
        /// The name of the topic.
        topic: &'a str [0..],
        /// The numbers of the partitions.
        partitions: Vec<i32> [0..],
    }
}

impl<'a> Request<'a> for DescribeTransactionsRequest<'a> {
    const KEY: ApiKey = ApiKey::DescribeTransactions;
    type Response<'r> = DescribeTransactionsResponse<'r>;
}
