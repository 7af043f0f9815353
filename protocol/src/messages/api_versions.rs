//! ApiVersions (API key 18): the first request of a connection: which APIs the broker speaks, and at which versions.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Asks which APIs the broker speaks. A broker that does not know its version answers in version 0.
    pub struct ApiVersionsRequest<'a> [0..=4, flexible 3..] {
        /// The name of the client library.
        client_software_name: &'a str [3..],
        /// Its version.
        client_software_version: &'a str [3..],
    }

    /// The APIs, their versions, and the features of the cluster.
    pub struct ApiVersionsResponse<'a> [0..=4, flexible 3..] {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// API by API.
        api_keys: Vec<ApiVersion> [0..],
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [1..],
        /// The features the broker supports.
        supported_features: Vec<SupportedFeatureKey<'a>> [3.., tag 0],
        /// The epoch of the finalized features, or -1 if unknown.
        finalized_features_epoch: i64 [3.., tag 1] = -1,
        /// The features switched on.
        finalized_features: Vec<FinalizedFeatureKey<'a>> [3.., tag 2],
        /// Whether brokers of the ZooKeeper era could migrate here.
        zk_migration_ready: bool [3.., tag 3],
    }

    /// An API and its versions.
    pub struct ApiVersion {
        /// The API.
        api_key: i16 [0..],
        /// The lowest version or level.
        min_version: i16 [0..],
        /// The highest version or level.
        max_version: i16 [0..],
    }

    /// A feature the broker can have, and at which levels.
    pub struct SupportedFeatureKey<'a> {
        /// The name of the feature.
        name: &'a str [3..],
        /// The lowest version or level.
        min_version: i16 [3..],
        /// The highest version or level.
        max_version: i16 [3..],
    }

    /// A feature the cluster has switched on, and at which levels.
    pub struct FinalizedFeatureKey<'a> {
        /// The name of the feature.
        name: &'a str [3..],
        /// The highest level in use.
        max_version_level: i16 [3..],
        /// The lowest level in use.
        min_version_level: i16 [3..],
    }
}

impl<'a> Request<'a> for ApiVersionsRequest<'a> {
    const KEY: ApiKey = ApiKey::ApiVersions;
    type Response<'r> = ApiVersionsResponse<'r>;
}
