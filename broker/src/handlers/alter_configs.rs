//! AlterConfigs (33): the way of before KIP-339, which *replaces* a configuration: what is not named goes back to its
//! default. Old clients still use it; it is made of the changes of IncrementalAlterConfigs.

use std::collections::BTreeSet;
use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use anabranch_protocol::messages::incremental_alter_configs as incremental;

use super::incremental_alter_configs::{DELETE, LOST, SET, alter};
use super::repeated::Repeated;
use crate::metadata::creation::Refusal;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: AlterConfigsRequest<'_>,
) -> Reply {
    let mut outcomes = Vec::with_capacity(message.resources.len());
    let named =
        |resource: &AlterConfigsResource<'_>| (resource.resource_type, resource.resource_name.to_owned());
    let repeated = Repeated::among(message.resources.iter().map(named));
    for resource in &message.resources {
        let outcome = if repeated.has(&named(resource)) {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once."))
        } else {
            replace(node, resource, message.validate_only)
        };
        outcomes.push((resource, outcome));
    }
    let respond = |lost: bool| AlterConfigsResponse {
        responses: outcomes.iter().map(|(resource, outcome)| result(resource, outcome, lost)).collect(),
        ..Default::default()
    };
    request.answer_after(node.metadata.settled(), &respond(false), || respond(true))
}

fn replace(node: &Node, resource: &AlterConfigsResource<'_>, validate_only: bool) -> Result<(), Refusal> {
    let present: Vec<String> = {
        let image = node.metadata.image();
        let configs = image.configs(resource.resource_type, resource.resource_name);
        let named: BTreeSet<&str> = resource.configs.iter().map(|config| config.name).collect();
        configs.keys().filter(|key| !named.contains(key.as_str())).cloned().collect()
    };
    let set = resource.configs.iter().map(|config| incremental::AlterableConfig {
        name: config.name,
        config_operation: SET,
        value: config.value,
    });
    let unset = present.iter().map(|key| incremental::AlterableConfig {
        name: key,
        config_operation: DELETE,
        value: None,
    });
    let changes = incremental::AlterConfigsResource {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        configs: set.chain(unset).collect(),
    };
    alter(node, &changes, validate_only)
}

fn result<'a>(
    resource: &AlterConfigsResource<'a>,
    outcome: &'a Result<(), Refusal>,
    lost: bool,
) -> AlterConfigsResourceResponse<'a> {
    let (error_code, error_message) = match outcome {
        Ok(()) if lost => (ErrorCode::KAFKA_STORAGE_ERROR, Some(LOST)),
        Ok(()) => (ErrorCode::NONE, None),
        Err(refusal) => (refusal.error_code, Some(&*refusal.message)),
    };
    AlterConfigsResourceResponse {
        error_code,
        error_message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
    }
}
