//! AlterClientQuotas (49): nothing here would hold a client back, so a quota is refused; to take away one that is not
//! there is done at once.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, EntityResponse, EntryData, EntryResponse,
};

use super::describe_client_quotas::ENTITY_TYPES;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    _node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: AlterClientQuotasRequest<'_>,
) -> Reply {
    let entries = message.entries.iter().map(|entry| {
        let (error_code, error_message) = match refuse(entry) {
            Some((error_code, message)) => (error_code, Some(message)),
            None => (ErrorCode::NONE, None),
        };
        let entity = entry
            .entity
            .iter()
            .map(|part| EntityResponse { entity_type: part.entity_type, entity_name: part.entity_name });
        EntryResponse { error_code, error_message, entity: entity.collect() }
    });
    request.answer(&AlterClientQuotasResponse { entries: entries.collect(), ..Default::default() })
}

fn refuse(entry: &EntryData<'_>) -> Option<(ErrorCode, &'static str)> {
    if entry.entity.is_empty() {
        return Some((ErrorCode::INVALID_REQUEST, "Invalid empty client quota entity"));
    }
    if entry.entity.iter().any(|part| !ENTITY_TYPES.contains(&part.entity_type)) {
        return Some((ErrorCode::INVALID_REQUEST, "Unhandled client quota entity type"));
    }
    let sets = entry.ops.iter().any(|op| !op.remove);
    sets.then_some((ErrorCode::UNSUPPORTED_VERSION, "This broker enforces no quotas."))
}
