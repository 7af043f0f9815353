//! DescribeGroups (API key 15): state and members of classic groups.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Groups to describe.
    pub struct DescribeGroupsRequest<'a> [0..=6, flexible 5..] {
        /// The groups.
        groups: Vec<&'a str> [0..],
        /// Whether to tell what the caller may do with each group.
        include_authorized_operations: bool [3..],
    }

    /// The groups.
    pub struct DescribeGroupsResponse<'a> [0..=6, flexible 5..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [1..],
        /// Group by group.
        groups: Vec<DescribedGroup<'a>> [0..],
    }

    /// A group.
    pub struct DescribedGroup<'a> {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [6.., null 6..],
        /// The group.
        group_id: &'a str [0..],
        /// The state: `Stable`, `Empty`, ...
        group_state: &'a str [0..],
        /// The kind of members: `consumer`, `connect`, ...
        protocol_type: &'a str [0..],
        /// The protocol chosen, empty if none.
        protocol_data: &'a str [0..],
        /// Member by member.
        members: Vec<DescribedGroupMember<'a>> [0..],
        /// What the caller may do with the group, as bits; `i32::MIN` if not asked for.
        authorized_operations: i32 [3..] = i32::MIN,
    }

    /// A member.
    pub struct DescribedGroupMember<'a> {
        /// The member, as named by the coordinator.
        member_id: &'a str [0..],
        /// The name a static member gives itself, or null.
        group_instance_id: Option<&'a str> [4.., null 4..],
        /// The client id.
        client_id: &'a str [0..],
        /// The host the member connects from.
        client_host: &'a str [0..],
        /// Its subscription.
        member_metadata: Bytes [0..],
        /// Its assignment.
        member_assignment: Bytes [0..],
    }
}

impl<'a> Request<'a> for DescribeGroupsRequest<'a> {
    const KEY: ApiKey = ApiKey::DescribeGroups;
    type Response<'r> = DescribeGroupsResponse<'r>;
}
