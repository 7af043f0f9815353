//! DeleteTopics (20): removes topics, by name or (version 6) by id. The answer leaves when that is decided.
//!
//! Coordinators' own topics are not deleted: they hold the state of groups that are alive.

use std::sync::Arc;

use anabranch_protocol::messages::cluster_metadata::{MetadataRecord, RemoveTopicRecord};
use anabranch_protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use anabranch_protocol::{ErrorCode, Uuid};

use super::repeated::Repeated;
use crate::metadata::creation::{Refusal, is_internal};
use crate::metadata::image::{MetadataImage, TopicImage};
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// What became of one topic.
struct Outcome {
    name: Option<String>,
    id: Uuid,
    deleted: Result<(), Refusal>,
}

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DeleteTopicsRequest<'_>,
) -> Reply {
    let mut asked = message.topics;
    asked.extend(
        message.topic_names.iter().map(|name| DeleteTopicState { name: Some(name), topic_id: Uuid::ZERO }),
    );
    let mut outcomes = Vec::with_capacity(asked.len());
    let mut named = Repeated::among(asked.iter().map(|topic| (topic.name, topic.topic_id)));
    for topic in &asked {
        // A topic named twice is answered once.
        let Some(repeated) = named.take(&(topic.name, topic.topic_id)) else { continue };
        outcomes.push(delete(node, topic, repeated));
    }
    let respond = |lost: bool| DeleteTopicsResponse {
        responses: outcomes.iter().map(|outcome| result(outcome, lost)).collect(),
        ..Default::default()
    };
    request.answer_after(node.metadata.settled(), &respond(false), || respond(true))
}

fn delete(node: &Node, topic: &DeleteTopicState<'_>, repeated: bool) -> Outcome {
    let named = |deleted| Outcome { name: topic.name.map(str::to_string), id: topic.topic_id, deleted };
    if topic.name.is_some() != topic.topic_id.is_zero() {
        let message = "You may not specify both topic name and topic id, nor neither.";
        return named(Err(Refusal::new(ErrorCode::INVALID_REQUEST, message)));
    }
    if repeated {
        return named(Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Duplicate topic in the request.")));
    }
    if !node.config.delete_topic_enable {
        return named(Err(Refusal::new(ErrorCode::TOPIC_DELETION_DISABLED, "Topic deletion is disabled.")));
    }
    let change = node.metadata.begin();
    let (name, topic_id) = match find(change.image(), topic) {
        Ok(found) => (found.name.to_string(), found.id),
        Err(refusal) => return named(Err(refusal)),
    };
    let record = MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id });
    let deleted = change.commit(node.host.wall_clock_ms(), &[record]);
    Outcome { name: Some(name), id: topic_id, deleted: deleted.map_err(Refusal::from) }
}

fn find<'a>(image: &'a MetadataImage, topic: &DeleteTopicState<'_>) -> Result<&'a TopicImage, Refusal> {
    let found = match topic.name {
        Some(name) => image.topic(name).ok_or_else(|| {
            let message = "This server does not host this topic-partition.";
            Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
        }),
        None => image.topic_by_id(&topic.topic_id).ok_or_else(|| {
            Refusal::new(ErrorCode::UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
        }),
    }?;
    if is_internal(&found.name) {
        let message = format!("{} is the state of a coordinator and cannot be deleted.", found.name);
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    }
    Ok(found)
}

fn result(outcome: &Outcome, lost: bool) -> DeletableTopicResult<'_> {
    let (error_code, error_message) = match &outcome.deleted {
        Ok(()) if lost => (
            ErrorCode::KAFKA_STORAGE_ERROR,
            Some("The metadata log went offline before the deletion was durable."),
        ),
        Ok(()) => (ErrorCode::NONE, None),
        Err(refusal) => (refusal.error_code, Some(&*refusal.message)),
    };
    DeletableTopicResult { name: outcome.name.as_deref(), topic_id: outcome.id, error_code, error_message }
}
