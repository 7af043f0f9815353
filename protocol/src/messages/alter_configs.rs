//! AlterConfigs (API key 33): replaces configurations.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Configurations that are to stand for those there are.
    pub struct AlterConfigsRequest<'a> [0..=2, flexible 2..] {
        /// Resource by resource.
        resources: Vec<AlterConfigsResource<'a>> [0..],
        /// Whether to check only and change nothing.
        validate_only: bool [0..],
    }

    /// The configuration that one resource is to have.
    pub struct AlterConfigsResource<'a> {
        /// What the resource is: 2 a topic, 4 a broker, 8 a broker's loggers, 16 client metrics, 32 a group.
        resource_type: i8 [0..],
        /// Its name.
        resource_name: &'a str [0..],
        /// The configuration.
        configs: Vec<AlterableConfig<'a>> [0..],
    }

    /// An entry.
    pub struct AlterableConfig<'a> {
        /// The key.
        name: &'a str [0..],
        /// The value, or null.
        value: Option<&'a str> [0.., null 0..],
    }

    /// What became of the changes.
    pub struct AlterConfigsResponse<'a> [0..=2, flexible 2..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Answer by answer.
        responses: Vec<AlterConfigsResourceResponse<'a>> [0..],
    }

    /// What became of one resource.
    pub struct AlterConfigsResourceResponse<'a> {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// What the resource is: 2 a topic, 4 a broker, 8 a broker's loggers, 16 client metrics, 32 a group.
        resource_type: i8 [0..],
        /// Its name.
        resource_name: &'a str [0..],
    }
}

impl<'a> Request<'a> for AlterConfigsRequest<'a> {
    const KEY: ApiKey = ApiKey::AlterConfigs;
    type Response<'r> = AlterConfigsResponse<'r>;
}
