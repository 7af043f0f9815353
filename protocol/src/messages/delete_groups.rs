//! DeleteGroups (API key 42): deletes groups without members.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Groups to delete.
    pub struct DeleteGroupsRequest<'a> [0..=2, flexible 2..] {
        /// The groups.
        groups_names: Vec<&'a str> [0..],
    }

    /// What became of the groups.
    pub struct DeleteGroupsResponse<'a> [0..=2, flexible 2..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Group by group.
        results: Vec<DeletableGroupResult<'a>> [0..],
    }

    /// What became of one group.
    pub struct DeletableGroupResult<'a> {
        /// The group.
        group_id: &'a str [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
    }
}

impl<'a> Request<'a> for DeleteGroupsRequest<'a> {
    const KEY: ApiKey = ApiKey::DeleteGroups;
    type Response<'r> = DeleteGroupsResponse<'r>;
}
