//! EndTxn (26): a transaction is committed or aborted.
//!
//! It is decided when the decision is durable. The answer waits a little longer, until the markers are written: then
//! readers see what was committed, and the producer's next transaction finds the last one complete, where it would be
//! sent away to try again. If the markers take their time, it is answered without them.

use std::sync::Arc;
use std::time::Duration;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};

use crate::coordinator::transaction::metadata::EPOCH_BUMP;
use crate::coordinator::transaction::{Caller, ProducerIdAndEpoch};
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// The first version whose clients know PRODUCER_FENCED.
const PRODUCER_FENCED_VERSION: i16 = 2;
/// The first version of clients whose epoch rises with every transaction.
const EPOCH_BUMP_VERSION: i16 = 5;
/// How long the markers are waited for.
const COMPLETE_WITHIN: Duration = Duration::from_millis(500);

pub(super) fn handle(node: &Arc<Node>, request: &RequestContext<'_>, message: EndTxnRequest<'_>) -> Reply {
    let failed = |error_code| {
        let error_code = match error_code {
            ErrorCode::PRODUCER_FENCED if request.api_version() < PRODUCER_FENCED_VERSION => {
                ErrorCode::INVALID_PRODUCER_EPOCH
            }
            other => other,
        };
        EndTxnResponse { error_code, ..Default::default() }
    };
    let caller = Caller {
        transactional_id: message.transactional_id,
        producer: ProducerIdAndEpoch { producer_id: message.producer_id, epoch: message.producer_epoch },
    };
    let client_version = if request.api_version() >= EPOCH_BUMP_VERSION { EPOCH_BUMP } else { 0 };
    let called = node.transactions.call(message.transactional_id, |coordinator, now, effects| {
        let new_producer_id = || node.new_producer_id();
        coordinator.end_transaction(now, &caller, message.committed, client_version, new_producer_id, effects)
    });
    let called = match called {
        Ok(called) => called,
        Err(error_code) => return request.answer(&failed(error_code)),
    };
    let response = match called.outcome {
        Ok(ProducerIdAndEpoch { producer_id, epoch }) => {
            EndTxnResponse { producer_id, producer_epoch: epoch, ..Default::default() }
        }
        Err(error_code) => failed(error_code),
    };
    let durables = [node.metadata.settled(), called.durable];
    if called.complete.is_empty() {
        return request.answer_after_all(durables, &response, || failed(ErrorCode::NOT_COORDINATOR));
    }
    let answering = request.answering;
    let (answer, failure) =
        (answering.encode(&response), answering.encode(&failed(ErrorCode::NOT_COORDINATOR)));
    let host = node.host.clone();
    Reply::later(async move {
        for durable in durables {
            if durable.await.is_err() {
                return failure;
            }
        }
        let complete = async {
            for complete in called.complete {
                // Dropped: the broker stops, and goes on when it starts again.
                let _ = complete.await;
            }
        };
        // It is decided, either way.
        let _ = host.timeout(COMPLETE_WITHIN, complete).await;
        answer
    })
}
