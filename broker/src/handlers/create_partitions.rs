//! CreatePartitions (37): adds partitions to topics. The answer leaves when they are decided.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};

use super::repeated::Repeated;
use crate::metadata::creation::{Refusal, grant_partitions};
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: CreatePartitionsRequest<'_>,
) -> Reply {
    let mut outcomes: Vec<(&str, Result<(), Refusal>)> = Vec::with_capacity(message.topics.len());
    let mut names = Repeated::among(message.topics.iter().map(|topic| topic.name));
    for topic in &message.topics {
        let Some(repeated) = names.take(&topic.name) else { continue };
        let outcome = if repeated {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))
        } else {
            add(node, topic, message.validate_only)
        };
        outcomes.push((topic.name, outcome));
    }
    let respond = |lost: bool| CreatePartitionsResponse {
        results: outcomes.iter().map(|(name, outcome)| result(name, outcome, lost)).collect(),
        ..Default::default()
    };
    request.answer_after(node.metadata.settled(), &respond(false), || respond(true))
}

fn add(node: &Node, topic: &CreatePartitionsTopic<'_>, validate_only: bool) -> Result<(), Refusal> {
    let assignments: Option<Vec<Vec<i32>>> = topic
        .assignments
        .as_ref()
        .map(|assignments| assignments.iter().map(|assignment| assignment.broker_ids.clone()).collect());
    let defaults = node.topic_defaults();
    let change = node.metadata.begin();
    let records =
        grant_partitions(change.image(), &defaults, topic.name, topic.count, assignments.as_deref())?;
    if !validate_only {
        // The answer waits until everything it shows is decided.
        change.commit(node.host.wall_clock_ms(), &records)?;
    }
    Ok(())
}

fn result<'a>(
    name: &'a str,
    outcome: &'a Result<(), Refusal>,
    lost: bool,
) -> CreatePartitionsTopicResult<'a> {
    let (error_code, error_message) = match outcome {
        Ok(()) if lost => (
            ErrorCode::KAFKA_STORAGE_ERROR,
            Some("The metadata log went offline before the partitions were durable."),
        ),
        Ok(()) => (ErrorCode::NONE, None),
        Err(refusal) => (refusal.error_code, Some(&*refusal.message)),
    };
    CreatePartitionsTopicResult { name, error_code, error_message }
}
