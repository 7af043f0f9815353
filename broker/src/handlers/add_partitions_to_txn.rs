//! AddPartitionsToTxn (24): partitions become part of a transaction, before its producer writes to them.
//!
//! Up to version 3 it is a client's request for one transaction; from version 4 on a broker's for many, and it may only ask
//! ([`verify_only`](AddPartitionsToTxnTransaction::verify_only)). All partitions of a transaction are added or none.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
};

use super::repeated::{distinct, merged};
use crate::coordinator::transaction::metadata::EPOCH_BUMP;
use crate::coordinator::transaction::{Caller, ProducerIdAndEpoch};
use crate::node::Node;
use crate::reply::{Reply, RequestContext};
use crate::watermark::Durable;

/// The first version whose clients know PRODUCER_FENCED.
const PRODUCER_FENCED_VERSION: i16 = 2;
/// The first version of brokers.
const BATCHED_VERSION: i16 = 4;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: AddPartitionsToTxnRequest<'_>,
) -> Reply {
    let version = request.api_version();
    let mut transactions = if version >= BATCHED_VERSION {
        message.transactions
    } else {
        vec![AddPartitionsToTxnTransaction {
            transactional_id: message.v3_and_below_transactional_id,
            producer_id: message.v3_and_below_producer_id,
            producer_epoch: message.v3_and_below_producer_epoch,
            verify_only: false,
            topics: message.v3_and_below_topics,
        }]
    };
    // Each partition once, however often it is named.
    for transaction in &mut transactions {
        let named = std::mem::take(&mut transaction.topics);
        transaction.topics = merged(named, |topic| topic.name, |topic| &mut topic.partitions);
        for topic in &mut transaction.topics {
            topic.partitions = distinct(std::mem::take(&mut topic.partitions));
        }
    }
    let mut durables = Vec::new();
    let results: Vec<_> = transactions
        .iter()
        .map(|transaction| {
            let errors = add(node, transaction, version, &mut durables);
            result(transaction, |at| errors.get(at).copied().unwrap_or(ErrorCode::NONE))
        })
        .collect();
    let unsure = transactions.iter().map(|transaction| result(transaction, |_| ErrorCode::NOT_COORDINATOR));
    request.answer_after_all(durables, &response(results, version), || response(unsure.collect(), version))
}

fn response(results: Vec<AddPartitionsToTxnResult<'_>>, version: i16) -> AddPartitionsToTxnResponse<'_> {
    match version {
        BATCHED_VERSION.. => {
            AddPartitionsToTxnResponse { results_by_transaction: results, ..Default::default() }
        }
        _ => {
            let results_by_topic_v3_and_below =
                results.into_iter().flat_map(|result| result.topic_results).collect();
            AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() }
        }
    }
}

/// Adds the partitions of one transaction: an error for each, in their order.
fn add(
    node: &Arc<Node>,
    transaction: &AddPartitionsToTxnTransaction<'_>,
    version: i16,
    durables: &mut Vec<Durable>,
) -> Vec<ErrorCode> {
    let mut partitions = Vec::new();
    let mut errors = Vec::new();
    for AddPartitionsToTxnTopic { name, partitions: indexes } in &transaction.topics {
        let topic = node.topics.by_name(name);
        for index in indexes {
            match &topic {
                Some(topic) if topic.partition(*index).is_some() => {
                    partitions.push((topic.name.clone(), *index));
                    // For when another one is missing: all or nothing.
                    errors.push(ErrorCode::OPERATION_NOT_ATTEMPTED);
                }
                _ => errors.push(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            }
        }
    }
    if partitions.len() < errors.len() {
        return errors;
    }
    let count = partitions.len();
    let caller = Caller {
        transactional_id: transaction.transactional_id,
        producer: ProducerIdAndEpoch {
            producer_id: transaction.producer_id,
            epoch: transaction.producer_epoch,
        },
    };
    let client_version = if version >= BATCHED_VERSION { EPOCH_BUMP } else { 0 };
    let called = node.transactions.call(transaction.transactional_id, |coordinator, now, effects| {
        if transaction.verify_only {
            return coordinator.verify_partitions(&caller, &partitions);
        }
        coordinator
            .add_partitions(now, &caller, &partitions, client_version, effects)
            .map(|()| vec![ErrorCode::NONE; count])
    });
    let outcome = called.and_then(|called| {
        durables.push(called.durable);
        called.outcome
    });
    outcome.unwrap_or_else(|error_code| {
        let error_code = match error_code {
            ErrorCode::PRODUCER_FENCED if version < PRODUCER_FENCED_VERSION => {
                ErrorCode::INVALID_PRODUCER_EPOCH
            }
            other => other,
        };
        vec![error_code; count]
    })
}

fn result<'a>(
    transaction: &AddPartitionsToTxnTransaction<'a>,
    error_of: impl Fn(usize) -> ErrorCode,
) -> AddPartitionsToTxnResult<'a> {
    let mut at = 0;
    let topics = transaction.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition_index| {
            let partition_error_code = error_of(at);
            at += 1;
            AddPartitionsToTxnPartitionResult { partition_index: *partition_index, partition_error_code }
        });
        AddPartitionsToTxnTopicResult { name: topic.name, results_by_partition: partitions.collect() }
    });
    let topic_results = topics.collect();
    AddPartitionsToTxnResult { transactional_id: transaction.transactional_id, topic_results }
}
