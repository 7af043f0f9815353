//! FindCoordinator (API key 10): which broker coordinates a group or a transactional id.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Asks for the coordinator of one key, or of many.
    pub struct FindCoordinatorRequest<'a> [0..=6, flexible 3..] {
        /// The group or transactional id.
        key: &'a str [0..=3],
        /// What the keys are: 0 groups, 1 transactional ids, 2 share groups.
        key_type: i8 [1..],
        /// The keys, in versions that take many.
        coordinator_keys: Vec<&'a str> [4..],
    }

    /// The coordinator of the one key, or those of many.
    pub struct FindCoordinatorResponse<'a> [0..=6, flexible 3..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [1..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..=3],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [1..=3, null 1..=3],
        /// The id of the broker.
        node_id: i32 [0..=3],
        /// The host it listens on.
        host: &'a str [0..=3],
        /// The port it listens on.
        port: i32 [0..=3],
        /// Key by key, in versions that take many.
        coordinators: Vec<Coordinator<'a>> [4..],
    }

    /// The coordinator of one key.
    pub struct Coordinator<'a> {
        /// The group or transactional id.
        key: &'a str [4..],
        /// The id of the broker.
        node_id: i32 [4..],
        /// The host it listens on.
        host: &'a str [4..],
        /// The port it listens on.
        port: i32 [4..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [4..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [4.., null 4..],
    }
}

impl<'a> Request<'a> for FindCoordinatorRequest<'a> {
    const KEY: ApiKey = ApiKey::FindCoordinator;
    type Response<'r> = FindCoordinatorResponse<'r>;
}
