//! TxnOffsetCommit (28): offsets of a group that count when the transaction is committed. Answered when they are durable,
//! partition by partition.
//!
//! The offsets must be part of the transaction: added by AddOffsetsToTxn up to version 4, and by this request itself from
//! version 5 on (KIP-890).

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};

use super::repeated::merged;
use crate::coordinator::group::offset_commit::{CommitOffsets, PartitionCommit};
use crate::coordinator::transaction::{Caller, ProducerIdAndEpoch};
use crate::metadata::creation::GROUP_METADATA_TOPIC;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};
use crate::topics::Topic;
use crate::transactions::Support;

/// Clients before this version crash when they hear that a coordinator is loading (KAFKA-7296).
const LOADING_VERSION: i16 = 2;
/// The first version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_VERSION: i16 = 4;
/// The first version that makes the offsets part of the transaction.
const ADD_VERSION: i16 = 5;

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: TxnOffsetCommitRequest<'_>,
) -> Reply {
    let topics: Vec<Option<Arc<Topic>>> =
        message.topics.iter().map(|topic| node.topics.by_name(topic.name)).collect();
    let exists = |at: usize, index: i32| {
        let topic: Option<&Arc<Topic>> = topics.get(at).and_then(Option::as_ref);
        topic.filter(|topic| topic.partition(index).is_some())
    };
    let mut partitions = Vec::new();
    for (at, topic) in message.topics.iter().enumerate() {
        partitions.extend(topic.partitions.iter().filter_map(|partition| {
            let found = exists(at, partition.partition_index)?;
            Some(PartitionCommit {
                topic: &found.name,
                topic_id: found.id,
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata,
            })
        }));
    }
    let response = |error_of: &dyn Fn(usize) -> ErrorCode| {
        let mut committed = 0;
        let topics = message.topics.iter().enumerate().map(|(at, topic)| {
            let partitions = topic.partitions.iter().map(|partition| {
                let error_code = match exists(at, partition.partition_index) {
                    None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    Some(_) => {
                        committed += 1;
                        error_of(committed - 1)
                    }
                };
                TxnOffsetCommitResponsePartition { partition_index: partition.partition_index, error_code }
            });
            TxnOffsetCommitResponseTopic { name: topic.name, partitions: partitions.collect() }
        });
        let topics = merged(topics, |topic| topic.name, |topic| &mut topic.partitions);
        TxnOffsetCommitResponse { throttle_time_ms: 0, topics }
    };
    let refused = |error_code: ErrorCode| {
        let error_code = match error_code {
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS if request.api_version() < LOADING_VERSION => {
                ErrorCode::COORDINATOR_NOT_AVAILABLE
            }
            other => other,
        };
        response(&|_| error_code)
    };
    if partitions.is_empty() {
        return request.answer(&refused(ErrorCode::NONE));
    }
    if message.group_id.is_empty() {
        return request.answer(&refused(ErrorCode::INVALID_GROUP_ID));
    }
    let producer = (message.producer_id, message.producer_epoch);
    if let Err(error_code) = node.groups.check_producer(message.group_id, producer) {
        return request.answer(&refused(error_code));
    }
    let support = match request.api_version() {
        ADD_VERSION.. => Support::Add,
        ABORTABLE_VERSION.. => Support::VerifyAbortable,
        _ => Support::Verify,
    };
    let caller = Caller {
        transactional_id: message.transactional_id,
        producer: ProducerIdAndEpoch { producer_id: message.producer_id, epoch: message.producer_epoch },
    };
    let commit = CommitOffsets {
        group_id: message.group_id,
        generation_id: message.generation_id,
        member_id: message.member_id,
        instance_id: message.group_instance_id,
        partitions,
        ..CommitOffsets::default()
    };
    let offsets = [(Arc::from(GROUP_METADATA_TOPIC), node.groups.partition_for(message.group_id))];
    let outcome = node.transactions.admit(&caller, &offsets, support, |admission| {
        match admission.errors.first() {
            None | Some(&ErrorCode::NONE) => {}
            Some(error_code) => return Err(*error_code),
        }
        node.groups.call_in_transaction(message.group_id, producer, |coordinator, now, effects| {
            coordinator.commit_transactional_offsets(now, &commit, producer, effects)
        })
    });
    match outcome {
        Ok((Ok(errors), durable)) => {
            let each = response(&|at| errors.get(at).copied().unwrap_or(ErrorCode::NONE));
            node.groups.answer(request, [durable], &each, || refused(ErrorCode::NOT_COORDINATOR))
        }
        Ok((Err(error_code), _)) | Err(error_code) => request.answer(&refused(error_code)),
    }
}
