//! What a call on the coordinator gives besides its own answer: records to append, parked requests to answer.

use super::join::JoinGroupReply;
use super::records::GroupRecord;
use super::sync::SyncGroupReply;
use crate::coordinator::ReplyTo;

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
}

impl Effects {
    pub(super) fn reply(&mut self, reply_to: ReplyTo, reply: Reply) {
        self.replies.push((reply_to, reply));
    }
}
