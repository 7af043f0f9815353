//! FindCoordinator (10): which broker coordinates a group or a transactional id. One key up to version 3, many from
//! version 4 on.
//!
//! The first to ask for one makes the coordinators' topic; the answer leaves when that is decided. There are no share groups
//! yet: asking for their coordinators is an invalid request, which ends a client's attempt at once where
//! COORDINATOR_NOT_AVAILABLE would let it try for ever.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use crate::metadata::creation::{GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC};
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// The key is a group.
const GROUP: i8 = 0;
/// The key is a transactional id.
const TRANSACTION: i8 = 1;
/// The first version with many keys.
const MANY_KEYS_VERSION: i16 = 4;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: FindCoordinatorRequest<'_>,
) -> Reply {
    let find = |key: &str| match message.key_type {
        GROUP => find(node, GROUP_METADATA_TOPIC, |node| node.groups.partition_for(key)),
        TRANSACTION => find(node, TRANSACTION_STATE_TOPIC, |node| node.transactions.partition_for(key)),
        _ => no_such_kind(),
    };
    let is_here = |error_code| error_code == ErrorCode::NONE;
    let endpoint = |error_code| match is_here(error_code) {
        true => (node.config.node_id, &*request.endpoint.host, i32::from(request.endpoint.port)),
        false => (-1, "", -1),
    };
    let response = if request.api_version() < MANY_KEYS_VERSION {
        let (error_code, error_message) = find(message.key);
        let (node_id, host, port) = endpoint(error_code);
        // Kafka's message of no error is its name; in the versions with many keys it is empty.
        let error_message = error_message.or_else(|| is_here(error_code).then_some(ErrorCode::NONE.name()));
        FindCoordinatorResponse { error_code, error_message, node_id, host, port, ..Default::default() }
    } else {
        let coordinators = message.coordinator_keys.iter().map(|key| {
            let (error_code, error_message) = find(key);
            let (node_id, host, port) = endpoint(error_code);
            Coordinator {
                key,
                node_id,
                host,
                port,
                error_code,
                error_message: Some(error_message.unwrap_or("")),
            }
        });
        FindCoordinatorResponse { coordinators: coordinators.collect(), ..Default::default() }
    };
    request.answer_settled(node.metadata.settled(), &response)
}

/// Whether what lies in a partition of `topic` is coordinated here; why not, otherwise.
fn find(
    node: &Node,
    topic: &str,
    partition_of: impl FnOnce(&Node) -> i32,
) -> (ErrorCode, Option<&'static str>) {
    let unavailable = |message| (ErrorCode::COORDINATOR_NOT_AVAILABLE, Some(message));
    if node.metadata.image().topic(topic).is_none()
        && let Err(refusal) = node.create_missing_topic(topic)
    {
        tracing::error!(topic, error = %refusal.message, "a coordinator's topic cannot be made");
        return unavailable("The coordinator's topic cannot be created; the broker's log says why.");
    }
    let index = usize::try_from(partition_of(node)).ok();
    let image = node.metadata.image();
    let partition = image.topic(topic).zip(index).and_then(|(topic, index)| topic.partitions.get(index));
    match partition {
        Some(partition) if partition.leader == node.config.node_id => (ErrorCode::NONE, None),
        _ => unavailable("The coordinator is not available."),
    }
}

fn no_such_kind() -> (ErrorCode, Option<&'static str>) {
    (ErrorCode::INVALID_REQUEST, Some("This broker coordinates groups and transactions, no share groups."))
}
