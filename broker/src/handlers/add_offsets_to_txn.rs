//! AddOffsetsToTxn (25): the partition of `__consumer_offsets` that has the offsets of a group becomes part of a
//! transaction.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use crate::coordinator::transaction::{Caller, ProducerIdAndEpoch};
use crate::metadata::creation::GROUP_METADATA_TOPIC;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// The first version whose clients know PRODUCER_FENCED.
const PRODUCER_FENCED_VERSION: i16 = 2;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: AddOffsetsToTxnRequest<'_>,
) -> Reply {
    let answered = |error_code| {
        let error_code = match error_code {
            ErrorCode::PRODUCER_FENCED if request.api_version() < PRODUCER_FENCED_VERSION => {
                ErrorCode::INVALID_PRODUCER_EPOCH
            }
            other => other,
        };
        AddOffsetsToTxnResponse { throttle_time_ms: 0, error_code }
    };
    let caller = Caller {
        transactional_id: message.transactional_id,
        producer: ProducerIdAndEpoch { producer_id: message.producer_id, epoch: message.producer_epoch },
    };
    let partitions = [(Arc::from(GROUP_METADATA_TOPIC), node.groups.partition_for(message.group_id))];
    let called = node.transactions.call(message.transactional_id, |coordinator, now, effects| {
        coordinator.add_partitions(now, &caller, &partitions, 0, effects)
    });
    match called {
        Ok(called) => {
            let response = answered(called.outcome.err().unwrap_or(ErrorCode::NONE));
            request.answer_after_all([called.durable], &response, || answered(ErrorCode::NOT_COORDINATOR))
        }
        Err(error_code) => request.answer(&answered(error_code)),
    }
}
