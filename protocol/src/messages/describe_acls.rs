//! DescribeAcls (API key 29): who may do what.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Which entries to describe.
    pub struct DescribeAclsRequest<'a> [1..=3, flexible 2..] {
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

    /// The entries.
    pub struct DescribeAclsResponse<'a> [1..=3, flexible 2..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// Resource by resource.
        resources: Vec<DescribeAclsResource<'a>> [0..],
    }

    /// The entries of one resource.
    pub struct DescribeAclsResource<'a> {
        /// What the resource is: 2 a topic, 3 a group, 4 the cluster, 5 a transactional id, 6 a delegation token, 7 a user.
        resource_type: i8 [0..],
        /// Its name.
        resource_name: &'a str [0..],
        /// How the name is meant: 3 literally, 4 as a prefix.
        pattern_type: i8 [1..] = 3,
        /// Entry by entry.
        acls: Vec<AclDescription<'a>> [0..],
    }

    /// Who may or may not do what.
    pub struct AclDescription<'a> {
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

impl<'a> Request<'a> for DescribeAclsRequest<'a> {
    const KEY: ApiKey = ApiKey::DescribeAcls;
    type Response<'r> = DescribeAclsResponse<'r>;
}
