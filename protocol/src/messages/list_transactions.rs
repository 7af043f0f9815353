//! ListTransactions (API key 66): the transactional ids a broker coordinates.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Asks for transactional ids, only for some of them if wanted.
    pub struct ListTransactionsRequest<'a> [0..=2, flexible 0..] {
        /// The states wanted; none for all.
        state_filters: Vec<&'a str> [0..],
        /// The producer ids wanted; none for all.
        producer_id_filters: Vec<i64> [0..],
        /// Only those that are open for longer than this, in milliseconds; negative for all.
        duration_filter: i64 [1..] = -1,
        /// Only those whose id matches this regular expression; null or nothing for all.
        transactional_id_pattern: Option<&'a str> [2.., null 2..],
    }

    /// The transactional ids.
    pub struct ListTransactionsResponse<'a> [0..=2, flexible 0..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The states wanted that there are not.
        unknown_state_filters: Vec<&'a str> [0..],
        /// Transactional id by transactional id.
        transaction_states: Vec<TransactionState<'a>> [0..],
    }

    /// How one of them stands.
    pub struct TransactionState<'a> {
        /// The transactional id.
        transactional_id: &'a str [0..],
        /// The id of the producer.
        producer_id: i64 [0..],
        /// The state: `Empty`, `Ongoing`, ...
        transaction_state: &'a str [0..],
    }
}

impl<'a> Request<'a> for ListTransactionsRequest<'a> {
    const KEY: ApiKey = ApiKey::ListTransactions;
    type Response<'r> = ListTransactionsResponse<'r>;
}
