//! ListConfigResources (API key 74): what has a configuration of its own.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Asks for resources.
    pub struct ListConfigResourcesRequest [0..=1, flexible 0..] {
        /// Of which types; none for all.
        resource_types: Vec<i8> [1..],
    }

    /// The resources.
    pub struct ListConfigResourcesResponse<'a> [0..=1, flexible 0..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// Resource by resource.
        config_resources: Vec<ListedConfigResource<'a>> [0..],
    }

    /// One resource.
    pub struct ListedConfigResource<'a> {
        /// The name of the resource.
        resource_name: &'a str [0..],
        /// The type of the resource; in version 0 client metrics only.
        resource_type: i8 [1..] = 16,
    }
}

impl<'a> Request<'a> for ListConfigResourcesRequest {
    const KEY: ApiKey = ApiKey::ListConfigResources;
    type Response<'r> = ListConfigResourcesResponse<'r>;
}
