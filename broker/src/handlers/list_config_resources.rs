//! ListConfigResources (74): what has a configuration. Version 0 asks for subscriptions to client metrics.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::list_config_resources::{
    ListConfigResourcesRequest, ListConfigResourcesResponse, ListedConfigResource,
};

use crate::metadata::image::{
    BROKER_LOGGER_RESOURCE, BROKER_RESOURCE, CLIENT_METRICS_RESOURCE, GROUP_RESOURCE, TOPIC_RESOURCE,
};
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// In Kafka's order.
const RESOURCES: [i8; 5] =
    [GROUP_RESOURCE, CLIENT_METRICS_RESOURCE, BROKER_LOGGER_RESOURCE, BROKER_RESOURCE, TOPIC_RESOURCE];

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: ListConfigResourcesRequest,
) -> Reply {
    let wanted: &[i8] = match message.resource_types.as_slice() {
        _ if request.api_version() == 0 => &[CLIENT_METRICS_RESOURCE],
        [] => &RESOURCES,
        wanted => wanted,
    };
    if wanted.iter().any(|kind| !RESOURCES.contains(kind)) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        return request.answer(&ListConfigResourcesResponse { error_code, ..Default::default() });
    }
    let (topics, image) = (node.topics.all(), node.metadata.image());
    let mut config_resources = Vec::new();
    for resource_type in RESOURCES.into_iter().filter(|kind| wanted.contains(kind)) {
        let mut push =
            |resource_name| config_resources.push(ListedConfigResource { resource_name, resource_type });
        match resource_type {
            BROKER_LOGGER_RESOURCE | BROKER_RESOURCE => push(&node.name),
            TOPIC_RESOURCE => topics.iter().for_each(|topic| push(&topic.name)),
            other => image
                .configured(other)
                .into_iter()
                .flat_map(|configured| configured.keys())
                .for_each(|name| push(name)),
        }
    }
    request.answer(&ListConfigResourcesResponse { config_resources, ..Default::default() })
}
