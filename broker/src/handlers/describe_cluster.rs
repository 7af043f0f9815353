//! DescribeCluster (60): the brokers, and which of them to send administration to.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use crate::authorization;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DescribeClusterRequest,
) -> Reply {
    if message.endpoint_type != BROKERS {
        // Kafka's answers: controllers are asked on their own listener.
        let (error_code, error_message) = match message.endpoint_type {
            CONTROLLERS => (
                ErrorCode::MISMATCHED_ENDPOINT_TYPE,
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
            ),
            _ => (ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, "Unsupported endpoint type"),
        };
        return request.answer(&DescribeClusterResponse {
            error_code,
            error_message: Some(error_message),
            ..Default::default()
        });
    }
    request.answer(&DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: &node.cluster_id,
        controller_id: node.config.node_id,
        brokers: vec![DescribeClusterBroker {
            broker_id: node.config.node_id,
            host: &request.endpoint.host,
            port: i32::from(request.endpoint.port),
            rack: node.config.rack.as_deref(),
            is_fenced: false,
        }],
        cluster_authorized_operations: authorization::if_asked(
            message.include_cluster_authorized_operations,
            authorization::CLUSTER,
        ),
        ..Default::default()
    })
}
