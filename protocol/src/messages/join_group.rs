//! JoinGroup (API key 11): enters a classic group and waits for its next generation.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Enters a group; answered when the group's next generation is complete.
    pub struct JoinGroupRequest<'a> [0..=9, flexible 6..] {
        /// The group.
        group_id: &'a str [0..],
        /// After how long without heartbeat the member is taken for dead, in milliseconds.
        session_timeout_ms: i32 [0..],
        /// How long the member may take to join again, in milliseconds; -1 for the session timeout.
        rebalance_timeout_ms: i32 [1..] = -1,
        /// The member id, empty when joining for the first time.
        member_id: &'a str [0..],
        /// The name a static member gives itself, or null.
        group_instance_id: Option<&'a str> [5.., null 5..],
        /// The kind of members: `consumer`, `connect`, ...
        protocol_type: &'a str [0..],
        /// The protocols, the preferred first.
        protocols: Vec<JoinGroupRequestProtocol<'a>> [0..],
        /// Why, in words, or null.
        reason: Option<&'a str> [8.., null 8..],
    }

    /// A protocol the member can follow.
    pub struct JoinGroupRequestProtocol<'a> {
        /// The name of the protocol.
        name: &'a str [0..],
        /// What the member tells the leader: its subscription.
        metadata: Bytes [0..],
    }

    /// The new generation; its leader also gets the members.
    pub struct JoinGroupResponse<'a> [0..=9, flexible 6..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [2..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// The generation of the group.
        generation_id: i32 [0..] = -1,
        /// The kind of members: `consumer`, `connect`, ...
        protocol_type: Option<&'a str> [7.., null 7..],
        /// The protocol chosen, or null.
        protocol_name: Option<&'a str> [0.., null 7..],
        /// The member that assigns.
        leader: &'a str [0..],
        /// Whether the leader has nothing to assign.
        skip_assignment: bool [9..],
        /// The member, as named by the coordinator.
        member_id: &'a str [0..],
        /// The members, for the leader; empty for others.
        members: Vec<JoinGroupResponseMember<'a>> [0..],
    }

    /// A member, for the leader.
    pub struct JoinGroupResponseMember<'a> {
        /// The member, as named by the coordinator.
        member_id: &'a str [0..],
        /// The name a static member gives itself, or null.
        group_instance_id: Option<&'a str> [5.., null 5..],
        /// What the member tells the leader: its subscription.
        metadata: Bytes [0..],
    }
}

impl<'a> Request<'a> for JoinGroupRequest<'a> {
    const KEY: ApiKey = ApiKey::JoinGroup;
    type Response<'r> = JoinGroupResponse<'r>;
}
