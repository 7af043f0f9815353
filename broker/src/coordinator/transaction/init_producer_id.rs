//! InitProducerId with a transactional id: a producer takes the id over, and whoever had it before is fenced.

use anabranch_protocol::ErrorCode;

use super::effects::Effects;
use super::metadata::{NO_PRODUCER_EPOCH, TransactionMetadata, TransactionState, is_exhausted};
use super::{Known, ProducerIdAndEpoch, TransactionCoordinator};
use crate::coordinator::Now;

/// An InitProducerId request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InitProducerId<'a> {
    pub(crate) transactional_id: &'a str,
    pub(crate) timeout_ms: i32,
    /// What the producer has, if it wants to go on after an error (KIP-360).
    pub(crate) expected: Option<ProducerIdAndEpoch>,
}

impl TransactionCoordinator {
    /// The identity with which the producer begins. `new_producer_id` gives one that nobody has had.
    ///
    /// # Errors
    /// What the producer is told. With CONCURRENT_TRANSACTIONS it is to ask again: the transaction of the producer before
    /// it has to be ended first.
    pub(crate) fn init_producer_id(
        &mut self,
        now: Now,
        request: InitProducerId<'_>,
        new_producer_id: impl FnOnce() -> Result<i64, ErrorCode>,
        effects: &mut Effects,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        if request.transactional_id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if request.timeout_ms <= 0 || request.timeout_ms > self.config.max_timeout_ms {
            return Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
        }
        let Some((transactional_id, known)) = self.transactions.get_key_value(request.transactional_id)
        else {
            let fresh = TransactionMetadata::new(new_producer_id()?);
            let last_epoch = request.expected.map(|_| NO_PRODUCER_EPOCH);
            let taken = fresh.initialized(fresh.producer_id, 0, request.timeout_ms, now.wall_clock_ms);
            return Ok(self.take(request.transactional_id, taken, last_epoch, effects));
        };
        let metadata = &known.metadata;
        if metadata.state.is_prepared() {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        if request.expected.is_some_and(|expected| !is_valid(metadata, expected)) {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        match metadata.state {
            TransactionState::Ongoing => {
                let transactional_id = transactional_id.clone();
                self.fence(now, &transactional_id, effects);
                Err(ErrorCode::CONCURRENT_TRANSACTIONS)
            }
            _ => {
                let expects_current =
                    request.expected.is_none_or(|expected| expected.epoch == metadata.producer_epoch);
                let (producer_id, epoch, last_epoch) = if metadata.is_epoch_exhausted() && expects_current {
                    let last_epoch = request.expected.map(|_| metadata.producer_epoch);
                    (new_producer_id()?, 0, last_epoch)
                } else {
                    let (epoch, last_epoch) = next_epoch(known, request.expected)?;
                    (metadata.producer_id, epoch, last_epoch)
                };
                let taken = metadata.initialized(producer_id, epoch, request.timeout_ms, now.wall_clock_ms);
                Ok(self.take(request.transactional_id, taken, last_epoch, effects))
            }
        }
    }

    fn take(
        &mut self,
        transactional_id: &str,
        taken: TransactionMetadata,
        last_epoch: Option<i16>,
        effects: &mut Effects,
    ) -> ProducerIdAndEpoch {
        let given = ProducerIdAndEpoch { producer_id: taken.producer_id, epoch: taken.producer_epoch };
        let transactional_id = match self.transactions.get_key_value(transactional_id) {
            Some((id, _)) => id.clone(),
            None => transactional_id.into(),
        };
        self.write(&transactional_id, taken, effects);
        if let Some(known) = self.transactions.get_mut(&transactional_id) {
            known.last_epoch = last_epoch;
        }
        given
    }
}

/// Whether who expects this identity may be the one who has the id.
fn is_valid(metadata: &TransactionMetadata, expected: ProducerIdAndEpoch) -> bool {
    expected.producer_id == metadata.producer_id
        // Its epochs were used up, and the answer with the new producer id was lost.
        || (expected.producer_id == metadata.previous_producer_id && is_exhausted(expected.epoch))
}

/// The epoch to give, and the one before it if the producer is known to have had that.
fn next_epoch(known: &Known, expected: Option<ProducerIdAndEpoch>) -> Result<(i16, Option<i16>), ErrorCode> {
    let epoch = known.metadata.producer_epoch;
    // Only one that was kept for fencing has none above it, and who expects that one gets another producer id.
    let bumped = epoch.checked_add(1).ok_or(ErrorCode::PRODUCER_FENCED);
    match expected {
        None => Ok((bumped?, None)),
        Some(expected) if expected.epoch == epoch => Ok((bumped?, Some(epoch))),
        // The answer to the last request was lost.
        Some(expected) if known.last_epoch == Some(expected.epoch) => Ok((epoch, known.last_epoch)),
        Some(_) => Err(ErrorCode::PRODUCER_FENCED),
    }
}
