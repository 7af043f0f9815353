//! EndTxn (API key 26): commits or aborts a transaction.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// How the transaction ends.
    pub struct EndTxnRequest<'a> [0..=5, flexible 3..] {
        /// The transactional id.
        transactional_id: &'a str [0..],
        /// The id of the producer.
        producer_id: i64 [0..],
        /// The epoch of the producer.
        producer_epoch: i16 [0..],
        /// Whether it is committed; else it is aborted.
        committed: bool [0..],
    }

    /// Whether it did, and with what the producer begins its next transaction (KIP-890).
    pub struct EndTxnResponse [0..=5, flexible 3..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The id of the producer from now on, or -1.
        producer_id: i64 [5..] = -1,
        /// The epoch of the producer from now on, or -1.
        producer_epoch: i16 [5..] = -1,
    }
}

impl<'a> Request<'a> for EndTxnRequest<'a> {
    const KEY: ApiKey = ApiKey::EndTxn;
    type Response<'r> = EndTxnResponse;
}
