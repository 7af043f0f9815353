//! InitProducerId (22): an id for an idempotent producer, or the identity of a transactional one.
//!
//! Without a transactional id any broker gives a fresh id with epoch 0, whatever the producer had before: it lost its
//! state, and an id costs nothing. With one the coordinator decides.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use crate::coordinator::transaction::ProducerIdAndEpoch;
use crate::coordinator::transaction::init_producer_id::InitProducerId;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// The first version whose clients know PRODUCER_FENCED.
const PRODUCER_FENCED_VERSION: i16 = 4;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: InitProducerIdRequest<'_>,
) -> Reply {
    let failed = |error_code| {
        let error_code = match error_code {
            ErrorCode::PRODUCER_FENCED if request.api_version() < PRODUCER_FENCED_VERSION => {
                ErrorCode::INVALID_PRODUCER_EPOCH
            }
            other => other,
        };
        InitProducerIdResponse { error_code, producer_epoch: -1, ..Default::default() }
    };
    let expected = match (message.producer_id, message.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return request.answer(&failed(ErrorCode::INVALID_REQUEST)),
        (producer_id, epoch) => Some(ProducerIdAndEpoch { producer_id, epoch }),
    };
    let Some(transactional_id) = message.transactional_id else {
        return match node.new_producer_id() {
            Ok(producer_id) => {
                let response =
                    InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() };
                let durable = node.metadata.settled();
                request.answer_after(durable, &response, || failed(ErrorCode::KAFKA_STORAGE_ERROR))
            }
            Err(error_code) => request.answer(&failed(error_code)),
        };
    };
    if transactional_id.is_empty() {
        return request.answer(&failed(ErrorCode::INVALID_REQUEST));
    }
    let init = InitProducerId { transactional_id, timeout_ms: message.transaction_timeout_ms, expected };
    let called = node.transactions.call(transactional_id, |coordinator, now, effects| {
        coordinator.init_producer_id(now, init, || node.new_producer_id(), effects)
    });
    match called {
        Ok(called) => {
            let response = match called.outcome {
                Ok(ProducerIdAndEpoch { producer_id, epoch }) => {
                    InitProducerIdResponse { producer_id, producer_epoch: epoch, ..Default::default() }
                }
                Err(error_code) => failed(error_code),
            };
            let durables = [node.metadata.settled(), called.durable];
            request.answer_after_all(durables, &response, || failed(ErrorCode::NOT_COORDINATOR))
        }
        Err(error_code) => request.answer(&failed(error_code)),
    }
}
