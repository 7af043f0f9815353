//! SyncGroup (API key 14): the leader hands in the assignment, each member receives its own.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Asks for the member's assignment; the leader's brings those of all.
    pub struct SyncGroupRequest<'a> [0..=5, flexible 4..] {
        /// The group.
        group_id: &'a str [0..],
        /// The generation of the group.
        generation_id: i32 [0..],
        /// The member, as named by the coordinator.
        member_id: &'a str [0..],
        /// The name a static member gives itself, or null.
        group_instance_id: Option<&'a str> [3.., null 3..],
        /// The kind of members: `consumer`, `connect`, ...
        protocol_type: Option<&'a str> [5.., null 5..],
        /// The protocol the member believes in, or null.
        protocol_name: Option<&'a str> [5.., null 5..],
        /// The assignments, from the leader; empty from others.
        assignments: Vec<SyncGroupRequestAssignment<'a>> [0..],
    }

    /// The assignment of one member.
    pub struct SyncGroupRequestAssignment<'a> {
        /// The member, as named by the coordinator.
        member_id: &'a str [0..],
        /// The assignment, in the protocol's own format.
        assignment: Bytes [0..],
    }

    /// The member's assignment.
    pub struct SyncGroupResponse<'a> [0..=5, flexible 4..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [1..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The kind of members: `consumer`, `connect`, ...
        protocol_type: Option<&'a str> [5.., null 5..],
        /// The protocol chosen: the assignor.
        protocol_name: Option<&'a str> [5.., null 5..],
        /// The assignment, in the protocol's own format.
        assignment: Bytes [0..],
    }
}

impl<'a> Request<'a> for SyncGroupRequest<'a> {
    const KEY: ApiKey = ApiKey::SyncGroup;
    type Response<'r> = SyncGroupResponse<'r>;
}
