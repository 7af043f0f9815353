//! InitProducerId (API key 22): gives a producer its id and epoch.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Asks for a producer id, or for a new epoch of one.
    pub struct InitProducerIdRequest<'a> [0..=5, flexible 2..] {
        /// The transactional id, or null without transactions.
        transactional_id: Option<&'a str> [0.., null 0..],
        /// After how long an unfinished transaction is aborted, in milliseconds.
        transaction_timeout_ms: i32 [0..],
        /// The id the producer has, to continue it (KIP-360), or -1.
        producer_id: i64 [3..] = -1,
        /// The epoch the producer has, or -1.
        producer_epoch: i16 [3..] = -1,
    }

    /// The id and the epoch.
    pub struct InitProducerIdResponse [0..=5, flexible 2..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The id of the producer.
        producer_id: i64 [0..] = -1,
        /// The epoch of the producer.
        producer_epoch: i16 [0..],
    }
}

impl<'a> Request<'a> for InitProducerIdRequest<'a> {
    const KEY: ApiKey = ApiKey::InitProducerId;
    type Response<'r> = InitProducerIdResponse;
}
