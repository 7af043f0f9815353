//! The records of `__transaction_state`: a transactional id and how its transaction stands.
//!
//! A version stands in front of key and value ([`crate::versioned`]). A null value deletes.

use crate::message::message;

message! {
    /// Whose state a record holds.
    pub struct TransactionLogKey<'a> [0..=0] {
        /// The transactional id.
        transactional_id: &'a str [0..],
    }

    /// The state of a transactional id.
    pub struct TransactionLogValue<'a> [0..=1, flexible 1..] {
        /// The id of the producer.
        producer_id: i64 [0..],
        /// The epoch of the producer.
        producer_epoch: i16 [0..],
        /// After how long an unfinished transaction is aborted, in milliseconds.
        transaction_timeout_ms: i32 [0..],
        /// 0 empty, 1 ongoing, 2 prepared to commit, 3 prepared to abort, 4 committed, 5 aborted, 6 dead, 7 epoch fenced.
        transaction_status: i8 [0..],
        /// The partitions of the transaction, or null.
        transaction_partitions: Option<Vec<PartitionsSchema<'a>>> [0.., null 0..],
        /// When the state last changed, in milliseconds.
        transaction_last_update_timestamp_ms: i64 [0..],
        /// When the transaction began, in milliseconds.
        transaction_start_timestamp_ms: i64 [0..],
        /// The producer id of the last committed transaction, or -1.
        previous_producer_id: i64 [1.., tag 0] = -1,
        /// The producer id given to the producer last, or -1.
        next_producer_id: i64 [1.., tag 1] = -1,
        /// The level of `transaction.version` that the producer uses.
        client_transaction_version: i16 [1.., tag 2],
        /// The epoch that belongs to `next_producer_id`, or -1.
        next_producer_epoch: i16 [1.., tag 3] = -1,
    }

    /// Partitions of a topic.
    pub struct PartitionsSchema<'a> {
        /// The name of the topic.
        topic: &'a str [0..],
        /// The numbers of the partitions.
        partition_ids: Vec<i32> [0..],
    }
}
