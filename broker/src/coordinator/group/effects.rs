//! What a call on the coordinator gives besides its own answer: records to append, parked requests to answer.

use super::join::JoinGroupReply;
use super::records::GroupRecord;
use super::sync::SyncGroupReply;
use crate::coordinator::ReplyTo;
use crate::internal_log::batch_bytes;

/// The answer to a request that may have been parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// To a JoinGroup.
    Join(JoinGroupReply),
    /// To a SyncGroup.
    Sync(SyncGroupReply),
}

/// Records that are part of a producer's transaction.
#[derive(Debug)]
pub(crate) struct InTransaction {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) records: Vec<GroupRecord>,
}

/// What has to be done after a call. The answers, and that of the call itself, must not leave before the records, and
/// those of all calls before, are durable.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// To append as they stand; the state has them already.
    pub(crate) records: Vec<GroupRecord>,
    /// To append behind those, in a batch of a producer's transaction.
    pub(crate) transaction: Option<InTransaction>,
    /// To send, each once.
    pub(crate) replies: Vec<(ReplyTo, Reply)>,
    /// How large a batch the log takes; none: of any size. What may grow is asked for [before](Effects::fits).
    pub(crate) max_batch_bytes: Option<usize>,
}

impl Effects {
    /// Whether the log takes this record.
    pub(super) fn fits(&self, record: &GroupRecord) -> bool {
        // All but the parts that clients choose is less than this.
        const FIXED_BYTES: usize = 512;
        self.max_batch_bytes.is_none_or(|most| {
            let is_small = match record {
                GroupRecord::OffsetCommit { group_id, topic, value, .. } => {
                    let metadata_bytes = value.as_ref().map_or(0, |value| value.metadata.len());
                    group_id.len() + topic.len() + metadata_bytes + FIXED_BYTES <= most
                }
                GroupRecord::GroupMetadata { .. } => false,
            };
            is_small || {
                let (key, value) = record.encode();
                batch_bytes(&key, value.as_deref()) <= most
            }
        })
    }

    pub(super) fn reply(&mut self, reply_to: ReplyTo, reply: Reply) {
        self.replies.push((reply_to, reply));
    }
}
