//! DescribeCluster (API key 60): the brokers of the cluster.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Asks for the brokers, or the controllers.
    pub struct DescribeClusterRequest [0..=2, flexible 0..] {
        /// Whether to tell what the caller may do with the cluster.
        include_cluster_authorized_operations: bool [0..],
        /// 1 for brokers, 2 for controllers.
        endpoint_type: i8 [1..] = 1,
        /// Whether to list brokers that are not in service.
        include_fenced_brokers: bool [2..],
    }

    /// The cluster.
    pub struct DescribeClusterResponse<'a> [0..=2, flexible 0..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// 1 for brokers, 2 for controllers.
        endpoint_type: i8 [1..] = 1,
        /// The id of the cluster.
        cluster_id: &'a str [0..],
        /// The broker to send administration to.
        controller_id: i32 [0..] = -1,
        /// The brokers.
        brokers: Vec<DescribeClusterBroker<'a>> [0..],
        /// What the caller may do with the cluster, as bits; `i32::MIN` if not asked for.
        cluster_authorized_operations: i32 [0..] = i32::MIN,
    }

    /// A broker and where it listens.
    pub struct DescribeClusterBroker<'a> {
        /// The id of the broker.
        broker_id: i32 [0..],
        /// The host it listens on.
        host: &'a str [0..],
        /// The port it listens on.
        port: i32 [0..],
        /// The rack of the broker, or null.
        rack: Option<&'a str> [0.., null 0..],
        /// Whether it is not in service.
        is_fenced: bool [2..],
    }
}

impl<'a> Request<'a> for DescribeClusterRequest {
    const KEY: ApiKey = ApiKey::DescribeCluster;
    type Response<'r> = DescribeClusterResponse<'r>;
}
