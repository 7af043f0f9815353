//! Batches of transactions: what must be asked of the coordinator before they are appended (KIP-890).

use std::sync::Arc;

use anabranch_host::HashMap;
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::produce::ProduceRequest;
use anabranch_protocol::records::BatchHeader;

use super::TOPIC_ID_VERSION;
use crate::coordinator::transaction::ProducerIdAndEpoch;
use crate::log::{AppendOrigin, Membership};
use crate::node::Node;
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

/// What must be asked about the batches of a request; none if nothing.
///
/// # Errors
/// If they are of several producers, or of a transaction that the request does not name: nobody would ever end it.
pub(super) fn question(
    node: &Node,
    message: &ProduceRequest<'_>,
    version: i16,
    now_ms: i64,
) -> Result<Option<Question>, ErrorCode> {
    let mut headers = message.topic_data.iter().flat_map(|topic| &topic.partition_data).filter_map(|data| {
        let records = data.records.as_ref()?;
        BatchHeader::parse(records).ok()
    });
    if message.transactional_id.is_none() {
        return match headers.any(|header| header.is_transactional()) {
            true => Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
            false => Ok(None),
        };
    }
    let mut asked: Option<Question> = None;
    for topic in &message.topic_data {
        let mut found = None;
        for data in &topic.partition_data {
            let header = data.records.as_ref().map(|records| BatchHeader::parse(records));
            let Some(Ok(header)) = header else { continue };
            if !header.is_transactional() || !header.has_producer_id() {
                continue;
            }
            let producer =
                ProducerIdAndEpoch { producer_id: header.producer_id, epoch: header.producer_epoch };
            let question = asked.get_or_insert(Question { producer, partitions: Vec::new() });
            if question.producer != producer {
                return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
            }
            let topic = found.get_or_insert_with(|| match version {
                TOPIC_ID_VERSION.. => node.topics.by_id(&topic.topic_id),
                _ => node.topics.by_name(topic.name),
            });
            let Some(topic) = topic else { continue };
            let Some(partition) = topic.partition(data.index) else { continue };
            if partition.begin_verification(&header, now_ms) {
                question.partitions.push((topic.name.clone(), data.index));
            }
        }
    }
    Ok(asked.filter(|question| !question.partitions.is_empty()))
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
    /// Why it is not, for the client's program and for its user.
    pub(super) fn origin(&self, topic: &str, index: i32) -> Result<AppendOrigin, (ErrorCode, String)> {
        let Some(&error_code) = self.error_codes.get(&(topic, index)) else {
            return Ok(AppendOrigin::Client);
        };
        match error_code {
            ErrorCode::NONE => Ok(AppendOrigin::Transaction(self.membership)),
            ErrorCode::INVALID_TXN_STATE => {
                Err((error_code, "Partition was not added to the transaction".to_string()))
            }
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
                Err((ErrorCode::NOT_ENOUGH_REPLICAS, message))
            }
            _ => Err((error_code, format!("The transaction coordinator answered {}", error_code.name()))),
        }
    }
}
