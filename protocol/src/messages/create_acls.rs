//! CreateAcls (API key 30): lets somebody do something, or forbids it.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Entries to create.
    pub struct CreateAclsRequest<'a> [1..=3, flexible 2..] {
        /// The entries.
        creations: Vec<AclCreation<'a>> [0..],
    }

    /// An entry.
    pub struct AclCreation<'a> {
        /// What the resource is: 2 a topic, 3 a group, 4 the cluster, 5 a transactional id, 6 a delegation token, 7 a user.
        resource_type: i8 [0..],
        /// Its name.
        resource_name: &'a str [0..],
        /// How the name is meant: 3 literally, 4 as a prefix.
        resource_pattern_type: i8 [1..] = 3,
        /// Who.
        principal: &'a str [0..],
        /// From where.
        host: &'a str [0..],
        /// What is done: 1 anything, 2 everything, 3 read, 4 write, 5 create, 6 delete, ...
        operation: i8 [0..],
        /// 1 any, 2 denied, 3 allowed.
        permission_type: i8 [0..],
    }

    /// What became of them.
    pub struct CreateAclsResponse<'a> [1..=3, flexible 2..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Result by result.
        results: Vec<AclCreationResult<'a>> [0..],
    }

    /// What became of one entry.
    pub struct AclCreationResult<'a> {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
    }
}

impl<'a> Request<'a> for CreateAclsRequest<'a> {
    const KEY: ApiKey = ApiKey::CreateAcls;
    type Response<'r> = CreateAclsResponse<'r>;
}
