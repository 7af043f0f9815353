//! Whether a batch may be appended as part of a transaction (KIP-890): the coordinator is asked, and in the newer protocol
//! makes the partition part of the transaction.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;

use super::Transactions;
use crate::coordinator::transaction::Caller;
use crate::coordinator::transaction::metadata::EPOCH_BUMP;
use crate::log::Membership;

/// What a client's version of a request says about the protocol it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// It has added the partitions, and knows the errors of old.
    Verify,
    /// It has added the partitions, and knows TRANSACTION_ABORTABLE.
    VerifyAbortable,
    /// It leaves adding to the partitions.
    Add,
}

/// What the coordinator says.
#[derive(Debug)]
pub(crate) struct Admission {
    /// What the log is told of the batches that may be appended.
    pub(crate) membership: Membership,
    /// One for each partition asked about, in their order: NONE if it may be written to.
    pub(crate) errors: Vec<ErrorCode>,
}

impl Transactions {
    /// Asks about `partitions`, and calls `then` with the answer before anything else can happen to the transaction.
    pub(crate) fn admit<R>(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        partitions: &[(Arc<str>, i32)],
        support: Support,
        then: impl FnOnce(&Admission) -> R,
    ) -> R {
        let membership = if support == Support::Add { Membership::Added } else { Membership::Verified };
        let all = |error_code: ErrorCode| Admission {
            membership,
            errors: vec![translate(error_code, support); partitions.len()],
        };
        let partition = self.partition_for(caller.transactional_id);
        let Some(shard) = self.shard(partition) else { return then(&all(ErrorCode::NOT_COORDINATOR)) };
        let mut shard = shard.lock();
        let asked = self.run(&mut shard, partition, |coordinator, now, effects| match support {
            Support::Add => coordinator
                .add_partitions(now, caller, partitions, EPOCH_BUMP, effects)
                .map(|()| vec![ErrorCode::NONE; partitions.len()]),
            Support::Verify | Support::VerifyAbortable => coordinator.verify_partitions(caller, partitions),
        });
        // What was added is durable when what is appended behind it is told, or it does not matter: a transaction that the
        // coordinator has never heard of is aborted at the start.
        match asked.and_then(|called| called.outcome) {
            Ok(errors) => {
                let errors = errors.into_iter().map(|error_code| translate(error_code, support)).collect();
                then(&Admission { membership, errors })
            }
            Err(error_code) => then(&all(error_code)),
        }
    }
}

/// A producer that writes to a partition is not told of the coordinator's errors that only the coordinator's callers know.
fn translate(error_code: ErrorCode, support: Support) -> ErrorCode {
    match error_code {
        ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
        ErrorCode::TRANSACTION_ABORTABLE if support == Support::Verify => ErrorCode::INVALID_TXN_STATE,
        other => other,
    }
}
