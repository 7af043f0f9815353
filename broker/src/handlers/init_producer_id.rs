//! InitProducerId (22): an id for an idempotent producer.
//!
//! Without a transactional id any broker gives a fresh id with epoch 0, whatever the producer had before: it lost its
//! state, and an id costs nothing. A transactional id needs a transaction coordinator; until there is one the answer says
//! so in a way that ends the producer instead of letting it retry for ever.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: InitProducerIdRequest<'_>,
) -> Reply {
    let failed = |error_code| InitProducerIdResponse { error_code, producer_epoch: -1, ..Default::default() };
    match message.transactional_id {
        None => {}
        Some("") => return request.answer(&failed(ErrorCode::INVALID_REQUEST)),
        // Clients map this to "not allowed to use transactions here" and give up at once.
        Some(_) => return request.answer(&failed(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)),
    }
    match node.producer_ids.allocate(&node.metadata, node.config.node_id, node.host.wall_clock_ms()) {
        Ok((producer_id, durable)) => {
            let response = InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() };
            request.answer_after(durable, &response, || failed(ErrorCode::KAFKA_STORAGE_ERROR))
        }
        Err(error) => {
            tracing::error!(%error, "no producer id can be given");
            request.answer(&failed(ErrorCode::KAFKA_STORAGE_ERROR))
        }
    }
}
