//! AddOffsetsToTxn (API key 25): makes the offsets of a group part of a transaction.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// A group whose offsets are to be committed in a transaction.
    pub struct AddOffsetsToTxnRequest<'a> [0..=4, flexible 3..] {
        /// The transactional id.
        transactional_id: &'a str [0..],
        /// The id of the producer.
        producer_id: i64 [0..],
        /// The epoch of the producer.
        producer_epoch: i16 [0..],
        /// The group.
        group_id: &'a str [0..],
    }

    /// Whether it may.
    pub struct AddOffsetsToTxnResponse [0..=4, flexible 3..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
    }
}

impl<'a> Request<'a> for AddOffsetsToTxnRequest<'a> {
    const KEY: ApiKey = ApiKey::AddOffsetsToTxn;
    type Response<'r> = AddOffsetsToTxnResponse;
}
