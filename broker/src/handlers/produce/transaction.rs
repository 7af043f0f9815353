//! Batches of transactions: what must be asked of the coordinator before they are appended (KIP-890).

use std::sync::Arc;

use anabranch_host::HashMap;
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::produce::ProduceRequest;
use anabranch_protocol::records::BatchHeader;

use super::batches::{CheckedBatch, Refusal, TopicBatches};
use crate::coordinator::transaction::ProducerIdAndEpoch;
use crate::log::{AppendOrigin, Membership};
use crate::transactions::{Admission, Support};

/// The first version that leaves adding partitions to the broker.
const ADD_VERSION: i16 = 12;
/// The first version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_VERSION: i16 = 11;

/// Partitions that are about to be written to in a transaction, and do not have it open.
pub(super) struct Question {
    pub(super) producer: ProducerIdAndEpoch,
    pub(super) partitions: Vec<(Arc<str>, i32)>,
}

/// Whether a batch of the request says that it is part of a transaction.
pub(super) fn has_transactional_batches(message: &ProduceRequest<'_>) -> bool {
    let mut batches = message.topic_data.iter().flat_map(|topic| &topic.partition_data);
    batches.any(|data| {
        let header = data.records.as_ref().map(|records| BatchHeader::parse(records));
        header.is_some_and(|header| header.is_ok_and(|header| header.is_transactional()))
    })
}

/// What must be asked about the batches of a request; none if nothing. Batches of an epoch that has passed are refused first,
/// as in Kafka: nobody is asked about them, and whatever else is wrong with them does not matter any more.
///
/// # Errors
/// If they are of several producers.
pub(super) fn question(named: &mut [TopicBatches], now_ms: i64) -> Result<Option<Question>, ErrorCode> {
    let batches =
        || named.iter().flat_map(|topic| &topic.partitions).filter_map(|named| named.batch.as_ref());
    let mut producers = batches().filter_map(producer_of);
    let Some(producer) = producers.next() else { return Ok(None) };
    if producers.any(|other| other != producer) {
        return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    }
    let mut partitions = Vec::new();
    for topic in named {
        for named in &mut topic.partitions {
            let Some(batch) = named.batch.take_if(|batch| producer_of(batch).is_some()) else { continue };
            match batch.partition.begin_verification(&batch.header, now_ms) {
                Ok(is_asked) => {
                    if is_asked {
                        partitions.push((topic.name.clone(), named.index));
                    }
                    named.batch = Some(batch);
                }
                Err(error) => drop(named.refused.get_or_insert(error.into())),
            }
        }
    }
    Ok((!partitions.is_empty()).then_some(Question { producer, partitions }))
}

/// Whose transaction a batch is part of, if it is part of one.
fn producer_of(batch: &CheckedBatch) -> Option<ProducerIdAndEpoch> {
    let header = &batch.header;
    let is_part = header.is_transactional() && header.has_producer_id();
    is_part.then_some(ProducerIdAndEpoch { producer_id: header.producer_id, epoch: header.producer_epoch })
}

/// What a version of Produce says about the client.
pub(super) fn support(version: i16) -> Support {
    match version {
        ADD_VERSION.. => Support::Add,
        ABORTABLE_VERSION.. => Support::VerifyAbortable,
        _ => Support::Verify,
    }
}

/// The coordinator's answers.
pub(super) struct Answers<'a> {
    error_codes: HashMap<(&'a str, i32), ErrorCode>,
    membership: Membership,
}

impl<'a> Answers<'a> {
    pub(super) fn new(question: &'a Question, admission: &Admission) -> Answers<'a> {
        let asked = question.partitions.iter().map(|(topic, index)| (&**topic, *index));
        Answers {
            error_codes: asked.zip(admission.errors.iter().copied()).collect(),
            membership: admission.membership,
        }
    }

    /// How a batch for a partition is to be appended.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn origin(&self, topic: &str, index: i32) -> Result<AppendOrigin, Refusal> {
        let Some(&error_code) = self.error_codes.get(&(topic, index)) else {
            return Ok(AppendOrigin::Client);
        };
        let message = match error_code {
            ErrorCode::NONE => return Ok(AppendOrigin::Transaction(self.membership)),
            ErrorCode::INVALID_TXN_STATE => "Partition was not added to the transaction".to_string(),
            // Passing troubles of the coordinator, which older clients would not try again. This one they do, and without
            // asking for metadata.
            ErrorCode::CONCURRENT_TRANSACTIONS
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR => {
                let message = format!(
                    "Unable to verify the partition has been added to the transaction. Underlying error: {}",
                    error_code.name()
                );
                return Err(Refusal { error_code: ErrorCode::NOT_ENOUGH_REPLICAS, message: Some(message) });
            }
            _ => format!("The transaction coordinator answered {}", error_code.name()),
        };
        Err(Refusal { error_code, message: Some(message) })
    }
}
