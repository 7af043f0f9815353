//! ListGroups (API key 16): the groups a broker coordinates.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Asks for groups, of some states and types only if wanted.
    pub struct ListGroupsRequest<'a> [0..=5, flexible 3..] {
        /// The states wanted; none for all.
        states_filter: Vec<&'a str> [4..],
        /// The types wanted; none for all.
        types_filter: Vec<&'a str> [5..],
    }

    /// The groups.
    pub struct ListGroupsResponse<'a> [0..=5, flexible 3..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [1..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// Group by group.
        groups: Vec<ListedGroup<'a>> [0..],
    }

    /// A group.
    pub struct ListedGroup<'a> {
        /// The group.
        group_id: &'a str [0..],
        /// The kind of members: `consumer`, `connect`, ...
        protocol_type: &'a str [0..],
        /// The state: `Stable`, `Empty`, ...
        group_state: &'a str [4..],
        /// The type: `classic`, `consumer`, ...
        group_type: &'a str [5..],
    }
}

impl<'a> Request<'a> for ListGroupsRequest<'a> {
    const KEY: ApiKey = ApiKey::ListGroups;
    type Response<'r> = ListGroupsResponse<'r>;
}
