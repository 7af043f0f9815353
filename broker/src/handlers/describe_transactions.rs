//! DescribeTransactions (65): how transactions stand. One is told as often as it is named, but
//! [not for ever](Told), as it may be large.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicData, TransactionState,
};

use super::repeated::Told;
use crate::coordinator::transaction::metadata::TransactionMetadata;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DescribeTransactionsRequest<'_>,
) -> Reply {
    let asked = message.transactional_ids;
    let mut told = Told::new();
    let mut durables = Vec::new();
    let found: Vec<(&str, Result<TransactionMetadata, ErrorCode>)> = asked
        .iter()
        .filter_map(|transactional_id| {
            if !told.may_tell(transactional_id) {
                return None;
            }
            let called = node.transactions.call(transactional_id, |coordinator, _, _| {
                coordinator.describe_transaction(transactional_id)
            });
            let outcome = called.and_then(|called| {
                durables.push(called.durable);
                called.outcome
            });
            let partitions = outcome.iter().flat_map(|metadata| &metadata.partitions);
            let bytes = partitions.map(|(topic, index)| topic.len() + size_of_val(index)).sum();
            told.tell(*transactional_id, bytes);
            Some((*transactional_id, outcome))
        })
        .collect();
    let refused = |transactional_id, error_code| TransactionState {
        error_code,
        transactional_id,
        ..Default::default()
    };
    let states = found.iter().map(|(transactional_id, outcome)| match outcome {
        Ok(metadata) => describe(transactional_id, metadata),
        Err(error_code) => refused(transactional_id, *error_code),
    });
    let response = DescribeTransactionsResponse { throttle_time_ms: 0, transaction_states: states.collect() };
    let unsure = || {
        let states = asked.iter();
        let states = states.map(|transactional_id| refused(transactional_id, ErrorCode::NOT_COORDINATOR));
        DescribeTransactionsResponse { throttle_time_ms: 0, transaction_states: states.collect() }
    };
    request.answer_after_all(durables, &response, unsure)
}

fn describe<'a>(transactional_id: &'a str, metadata: &'a TransactionMetadata) -> TransactionState<'a> {
    let mut topics: Vec<TopicData<'a>> = Vec::new();
    for (topic, index) in &metadata.partitions {
        match topics.last_mut() {
            Some(last) if *last.topic == **topic => last.partitions.push(*index),
            _ => topics.push(TopicData { topic, partitions: vec![*index] }),
        }
    }
    TransactionState {
        error_code: ErrorCode::NONE,
        transactional_id,
        transaction_state: metadata.state.name(),
        transaction_timeout_ms: metadata.timeout_ms,
        transaction_start_time_ms: metadata.start_ms,
        producer_id: metadata.producer_id,
        producer_epoch: metadata.producer_epoch,
        topics,
    }
}
