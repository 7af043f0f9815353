//! DescribeConfigs (API key 32): the configuration of topics and brokers.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Configurations to describe.
    pub struct DescribeConfigsRequest<'a> [1..=4, flexible 4..] {
        /// Resource by resource.
        resources: Vec<DescribeConfigsResource<'a>> [0..],
        /// Whether to list synonyms.
        include_synonyms: bool [1..],
        /// Whether to explain each key.
        include_documentation: bool [3..],
    }

    /// A topic, broker or other resource.
    pub struct DescribeConfigsResource<'a> {
        /// What the resource is: 2 a topic, 4 a broker, 8 a broker's loggers, 16 client metrics, 32 a group.
        resource_type: i8 [0..],
        /// Its name.
        resource_name: &'a str [0..],
        /// The keys wanted, or null for all.
        configuration_keys: Option<Vec<&'a str>> [0.., null 0..],
    }

    /// The configurations.
    pub struct DescribeConfigsResponse<'a> [1..=4, flexible 4..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Resource by resource.
        results: Vec<DescribeConfigsResult<'a>> [0..],
    }

    /// The configuration of one resource.
    pub struct DescribeConfigsResult<'a> {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// What the resource is: 2 a topic, 4 a broker, 8 a broker's loggers, 16 client metrics, 32 a group.
        resource_type: i8 [0..],
        /// Its name.
        resource_name: &'a str [0..],
        /// The configuration.
        configs: Vec<DescribeConfigsResourceResult<'a>> [0..],
    }

    /// An entry of a configuration.
    pub struct DescribeConfigsResourceResult<'a> {
        /// The key.
        name: &'a str [0..],
        /// The value, or null.
        value: Option<&'a str> [0.., null 0..],
        /// Whether it cannot be changed.
        read_only: bool [0..],
        /// Where the value comes from: 1 the topic, 2 one broker, 3 all brokers, 4 the broker's file, 5 the default.
        config_source: i8 [1..] = -1,
        /// Whether the value is a secret and therefore null.
        is_sensitive: bool [0..],
        /// The synonyms, this key included.
        synonyms: Vec<DescribeConfigsSynonym<'a>> [1..],
        /// The type of the value: 1 boolean, 2 string, 3 int, 5 long, 6 double, 7 list, ...
        config_type: i8 [3..],
        /// What the key is for, or null.
        documentation: Option<&'a str> [3.., null 0..],
    }

    /// A key that stands in where this one is not set, in order of precedence.
    pub struct DescribeConfigsSynonym<'a> {
        /// The key.
        name: &'a str [1..],
        /// The value, or null.
        value: Option<&'a str> [1.., null 0..],
        /// Where its value comes from, as in `config_source`.
        source: i8 [1..],
    }
}

impl<'a> Request<'a> for DescribeConfigsRequest<'a> {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    type Response<'r> = DescribeConfigsResponse<'r>;
}
