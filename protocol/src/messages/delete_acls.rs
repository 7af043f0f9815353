//! DeleteAcls (API key 31): takes back what was allowed or forbidden.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Entries to delete.
    pub struct DeleteAclsRequest<'a> [1..=3, flexible 2..] {
        /// Which entries.
        filters: Vec<DeleteAclsFilter<'a>> [0..],
    }

    /// Which entries.
    pub struct DeleteAclsFilter<'a> {
        /// What the resource is: 1 any, 2 a topic, 3 a group, 4 the cluster, 5 a transactional id, ...
        resource_type_filter: i8 [0..],
        /// Its name, or null for any.
        resource_name_filter: Option<&'a str> [0.., null 0..],
        /// How the name is meant: 1 any, 2 whatever matches, 3 literally, 4 as a prefix.
        pattern_type_filter: i8 [1..] = 3,
        /// Who, or null for anybody.
        principal_filter: Option<&'a str> [0.., null 0..],
        /// From where, or null for anywhere.
        host_filter: Option<&'a str> [0.., null 0..],
        /// What is done: 1 anything, 2 everything, 3 read, 4 write, 5 create, 6 delete, ...
        operation: i8 [0..],
        /// 1 any, 2 denied, 3 allowed.
        permission_type: i8 [0..],
    }

    /// What was deleted.
    pub struct DeleteAclsResponse<'a> [1..=3, flexible 2..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Filter by filter.
        filter_results: Vec<DeleteAclsFilterResult<'a>> [0..],
    }

    /// What one filter did.
    pub struct DeleteAclsFilterResult<'a> {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// The entries that were deleted.
        matching_acls: Vec<DeleteAclsMatchingAcl<'a>> [0..],
    }

    /// An entry that was deleted.
    pub struct DeleteAclsMatchingAcl<'a> {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// What the resource is: 2 a topic, 3 a group, 4 the cluster, 5 a transactional id, 6 a delegation token, 7 a user.
        resource_type: i8 [0..],
        /// Its name.
        resource_name: &'a str [0..],
        /// How the name is meant: 3 literally, 4 as a prefix.
        pattern_type: i8 [1..] = 3,
        /// Who.
        principal: &'a str [0..],
        /// From where.
        host: &'a str [0..],
        /// What is done: 1 anything, 2 everything, 3 read, 4 write, 5 create, 6 delete, ...
        operation: i8 [0..],
        /// 1 any, 2 denied, 3 allowed.
        permission_type: i8 [0..],
    }
}

impl<'a> Request<'a> for DeleteAclsRequest<'a> {
    const KEY: ApiKey = ApiKey::DeleteAcls;
    type Response<'r> = DeleteAclsResponse<'r>;
}
