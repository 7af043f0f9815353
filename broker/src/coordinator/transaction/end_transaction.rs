//! EndTxn: a transaction is committed or aborted, by its producer, or by the coordinator when somebody else takes the id
//! over or the time is up.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;

use super::effects::Effects;
use super::metadata::{EPOCH_BUMP, NO_PRODUCER_ID, TransactionMetadata, TransactionState};
use super::{Caller, ProducerIdAndEpoch, TransactionCoordinator};
use crate::coordinator::Now;

/// What is to be done about an EndTxn.
enum Verdict {
    /// It was done before: the identity the producer was told then.
    Done,
    /// The transaction ends this way.
    Decide,
}

impl TransactionCoordinator {
    /// Ends the caller's transaction. The producer goes on with the identity that is returned, in the newer protocol
    /// (`client_version` 2) with a new epoch.
    ///
    /// # Errors
    /// What the producer is told.
    pub(crate) fn end_transaction(
        &mut self,
        now: Now,
        caller: &Caller<'_>,
        is_commit: bool,
        client_version: i16,
        new_producer_id: impl FnOnce() -> Result<i64, ErrorCode>,
        effects: &mut Effects,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        let (transactional_id, known) = self.known(caller)?;
        let metadata = &known.metadata;
        let bumps_epoch = client_version >= EPOCH_BUMP;
        let verdict = match bumps_epoch {
            true => judge(metadata, caller.producer, is_commit)?,
            false => judge_without_bump(metadata, caller.producer, is_commit)?,
        };
        let identity = match verdict {
            Verdict::Done => (metadata.producer_id, metadata.producer_epoch),
            Verdict::Decide => {
                let next_producer_id = match bumps_epoch && metadata.is_epoch_exhausted() {
                    true => new_producer_id()?,
                    false => NO_PRODUCER_ID,
                };
                let prepared =
                    metadata.prepared(is_commit, client_version, next_producer_id, now.wall_clock_ms);
                let (identity, epoch) = (prepared.after_completion(), metadata.producer_epoch);
                let transactional_id = transactional_id.clone();
                // Who never hears of the new epoch may ask for it with the one before, by InitProducerId as well.
                if bumps_epoch && let Some(known) = self.transactions.get_mut(&transactional_id) {
                    known.last_epoch = Some(epoch);
                }
                self.decide(&transactional_id, prepared, effects);
                identity
            }
        };
        Ok(ProducerIdAndEpoch { producer_id: identity.0, epoch: identity.1 })
    }

    /// Aborts the ongoing transaction of an id, and fences its producer by a new epoch, which nobody is told.
    pub(super) fn fence(&mut self, now: Now, transactional_id: &Arc<str>, effects: &mut Effects) {
        let Some(known) = self.transactions.get_mut(transactional_id) else { return };
        let prepared = known.metadata.prepared(false, EPOCH_BUMP, NO_PRODUCER_ID, now.wall_clock_ms);
        known.last_epoch = Some(known.metadata.producer_epoch);
        self.decide(transactional_id, prepared, effects);
    }
}

/// In the older protocol: the epoch is the same before and after, so the state alone tells what was sent again.
fn judge_without_bump(
    metadata: &TransactionMetadata,
    producer: ProducerIdAndEpoch,
    is_commit: bool,
) -> Result<Verdict, ErrorCode> {
    if metadata.producer_id != producer.producer_id {
        return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    }
    if metadata.producer_epoch != producer.epoch {
        return Err(ErrorCode::PRODUCER_FENCED);
    }
    match (metadata.state, is_commit) {
        (TransactionState::Ongoing, _) => Ok(Verdict::Decide),
        (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false) => {
            Ok(Verdict::Done)
        }
        (TransactionState::PrepareCommit | TransactionState::PrepareAbort, _) => {
            Err(ErrorCode::CONCURRENT_TRANSACTIONS)
        }
        _ => Err(ErrorCode::INVALID_TXN_STATE),
    }
}

/// In the newer protocol: each transaction has its epoch, so a request sent again comes with the one before.
fn judge(
    metadata: &TransactionMetadata,
    producer: ProducerIdAndEpoch,
    is_commit: bool,
) -> Result<Verdict, ErrorCode> {
    // First of all: the producer may have been told of the producer id that comes with completion.
    if metadata.state.is_prepared() {
        return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
    }
    let is_retry_over_producer_ids = metadata.previous_producer_id == producer.producer_id
        && producer.epoch == i16::MAX - 1
        && metadata.producer_epoch == 0;
    let is_retry_over_epochs = producer.epoch.checked_add(1) == Some(metadata.producer_epoch);
    if metadata.producer_id != producer.producer_id && !is_retry_over_producer_ids {
        return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    }
    let is_current = producer.epoch == metadata.producer_epoch;
    let is_retry = is_retry_over_epochs || is_retry_over_producer_ids;
    let may_be_retry =
        matches!(metadata.state, TransactionState::CompleteCommit | TransactionState::CompleteAbort);
    if !(is_current || is_retry && may_be_retry) {
        return Err(ErrorCode::PRODUCER_FENCED);
    }
    match (metadata.state, is_commit) {
        (TransactionState::Ongoing, _) => Ok(Verdict::Decide),
        // An abort is allowed before anything was added: the epoch rises, so what is still on its way is fenced.
        (TransactionState::Empty, false) => Ok(Verdict::Decide),
        (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false) if is_retry => {
            Ok(Verdict::Done)
        }
        (TransactionState::CompleteCommit | TransactionState::CompleteAbort, false) if !is_retry => {
            Ok(Verdict::Decide)
        }
        _ => Err(ErrorCode::INVALID_TXN_STATE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state, epoch and wish in the newer protocol; the producer has epoch 5.
    #[test]
    fn what_is_sent_again_is_told_apart_by_its_epoch() {
        let told = |state, epoch, is_commit| {
            let metadata = TransactionMetadata { state, producer_epoch: 5, ..TransactionMetadata::new(7) };
            match judge(&metadata, ProducerIdAndEpoch { producer_id: 7, epoch }, is_commit) {
                Ok(Verdict::Done) => "done",
                Ok(Verdict::Decide) => "decide",
                Err(error) => error.name(),
            }
        };
        const FENCED: &str = "PRODUCER_FENCED";
        const STATE: &str = "INVALID_TXN_STATE";
        const WAIT: &str = "CONCURRENT_TRANSACTIONS";
        // Epochs 3, 4, 5, 6; first to commit, then to abort.
        for (state, commit, abort) in [
            (TransactionState::Empty, [FENCED, FENCED, STATE, FENCED], [FENCED, FENCED, "decide", FENCED]),
            (
                TransactionState::Ongoing,
                [FENCED, FENCED, "decide", FENCED],
                [FENCED, FENCED, "decide", FENCED],
            ),
            (TransactionState::PrepareCommit, [WAIT; 4], [WAIT; 4]),
            (TransactionState::PrepareAbort, [WAIT; 4], [WAIT; 4]),
            (
                TransactionState::CompleteCommit,
                [FENCED, "done", STATE, FENCED],
                [FENCED, STATE, "decide", FENCED],
            ),
            (
                TransactionState::CompleteAbort,
                [FENCED, STATE, STATE, FENCED],
                [FENCED, "done", "decide", FENCED],
            ),
        ] {
            for (is_commit, expected) in [(true, commit), (false, abort)] {
                let found = [3, 4, 5, 6].map(|epoch| told(state, epoch, is_commit));
                assert_eq!(found, expected, "{state:?} {is_commit}");
            }
        }
    }
}
