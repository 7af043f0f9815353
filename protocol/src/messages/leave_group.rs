//! LeaveGroup (API key 13): members leave a classic group.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Members that leave.
    pub struct LeaveGroupRequest<'a> [0..=5, flexible 4..] {
        /// The group.
        group_id: &'a str [0..],
        /// The member, in versions that take one.
        member_id: &'a str [0..=2],
        /// The members, in versions that take many.
        members: Vec<MemberIdentity<'a>> [3..],
    }

    /// A member that leaves.
    pub struct MemberIdentity<'a> {
        /// The member, as named by the coordinator.
        member_id: &'a str [3..],
        /// The name a static member gives itself, or null.
        group_instance_id: Option<&'a str> [3.., null 3..],
        /// Why, in words, or null.
        reason: Option<&'a str> [5.., null 5..],
    }

    /// What became of them.
    pub struct LeaveGroupResponse<'a> [0..=5, flexible 4..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [1..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// Member by member.
        members: Vec<MemberResponse<'a>> [3..],
    }

    /// What became of one member.
    pub struct MemberResponse<'a> {
        /// The member, as named by the coordinator.
        member_id: &'a str [3..],
        /// The name a static member gives itself, or null.
        group_instance_id: Option<&'a str> [3.., null 3..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [3..],
    }
}

impl<'a> Request<'a> for LeaveGroupRequest<'a> {
    const KEY: ApiKey = ApiKey::LeaveGroup;
    type Response<'r> = LeaveGroupResponse<'r>;
}
