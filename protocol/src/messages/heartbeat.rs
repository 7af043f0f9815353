//! Heartbeat (API key 12): a member of a classic group shows that it lives.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Tells that the member lives.
    pub struct HeartbeatRequest<'a> [0..=4, flexible 4..] {
        /// The group.
        group_id: &'a str [0..],
        /// The generation of the group.
        generation_id: i32 [0..],
        /// The member, as named by the coordinator.
        member_id: &'a str [0..],
        /// The name a static member gives itself, or null.
        group_instance_id: Option<&'a str> [3.., null 3..],
    }

    /// Tells whether the member must join again.
    pub struct HeartbeatResponse [0..=4, flexible 4..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [1..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
    }
}

impl<'a> Request<'a> for HeartbeatRequest<'a> {
    const KEY: ApiKey = ApiKey::Heartbeat;
    type Response<'r> = HeartbeatResponse;
}
