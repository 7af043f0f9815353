//! Which batches of which epoch are still on their way.
//!
//! A commit waits until everything its epoch has written is acknowledged; what the epochs behind it send meanwhile does
//! not hold it up. Per changelog partition the highest acknowledged offset is kept: the checkpoint of its store.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::task::{Poll, Waker};

use anabranch_client::{BatchError, BatchMetadata, ClientError, TopicPartition};
use parking_lot::Mutex;

use super::refusals::Refused;

/// The count of what is sent and not answered. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Acknowledgements {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Batches in flight, by epoch.
    in_flight: BTreeMap<u64, usize>,
    /// The highest acknowledged offset of each partition, by epoch, of the epochs not yet settled.
    ends: BTreeMap<u64, BTreeMap<TopicPartition, i64>>,
    error: Option<ClientError>,
    /// Records that will never be written as they are.
    refused: Vec<Refused>,
    waker: Option<Waker>,
}

/// The highest acknowledged offset of each partition.
pub(crate) type AcknowledgedOffsets = BTreeMap<TopicPartition, i64>;

impl Acknowledgements {
    /// Counts a batch of `epoch` and gives what is to be called with its fate.
    pub(crate) fn expect(
        &self,
        epoch: u64,
        partition: TopicPartition,
        record_count: usize,
    ) -> impl FnOnce(Result<BatchMetadata, BatchError>) + Send + 'static {
        *self.state.lock().in_flight.entry(epoch).or_default() += 1;
        let shared = Arc::clone(&self.state);
        move |fate| {
            let mut state = shared.lock();
            match fate {
                Ok(batch) if batch.base_offset >= 0 => {
                    let last = batch.base_offset + i64::try_from(record_count).unwrap_or(i64::MAX) - 1;
                    let end = state.ends.entry(epoch).or_default().entry(partition).or_insert(last);
                    *end = last.max(*end);
                }
                // A duplicate whose offset the broker has forgotten: written, only the checkpoint stays behind.
                Ok(_) => {}
                Err(error) => {
                    state.refused.extend(Refused::of(&partition.topic, &error));
                    state.error.get_or_insert(error.error);
                }
            }
            if let Some(count) = state.in_flight.get_mut(&epoch) {
                *count -= 1;
                if *count == 0 {
                    state.in_flight.remove(&epoch);
                }
            }
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
    }

    /// Whether a batch of `epoch` is on its way.
    pub(crate) fn awaits(&self, epoch: u64) -> bool {
        self.state.lock().in_flight.contains_key(&epoch)
    }

    /// Waits until all batches of `epoch` and those before are acknowledged.
    pub(crate) fn settled(
        &self,
        epoch: u64,
    ) -> impl Future<Output = Result<AcknowledgedOffsets, ClientError>> + use<> {
        let shared = Arc::clone(&self.state);
        std::future::poll_fn(move |context| {
            let mut state = shared.lock();
            if let Some(error) = &state.error {
                return Poll::Ready(Err(error.clone()));
            }
            if state.in_flight.range(..=epoch).next().is_some() {
                // One commit is in flight at a time, so there is one to wake.
                state.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            let later = state.ends.split_off(&(epoch + 1));
            let settled = std::mem::replace(&mut state.ends, later);
            let mut offsets = AcknowledgedOffsets::new();
            for (partition, end) in settled.into_values().flatten() {
                let known = offsets.entry(partition).or_insert(end);
                *known = end.max(*known);
            }
            Poll::Ready(Ok(offsets))
        })
    }

    /// Whether records were refused for what they are.
    pub(crate) fn has_refused(&self) -> bool {
        !self.state.lock().refused.is_empty()
    }

    /// Takes the records that were refused for what they are.
    pub(crate) fn take_refused(&self) -> Vec<Refused> {
        std::mem::take(&mut self.state.lock().refused)
    }

    /// The first error among the batches, if one failed.
    pub(crate) fn error(&self) -> Option<ClientError> {
        self.state.lock().error.clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn acknowledged(base_offset: i64) -> Result<BatchMetadata, BatchError> {
        Ok(BatchMetadata { base_offset, log_append_time: -1 })
    }

    #[test]
    fn an_epoch_is_settled_when_its_own_batches_are() {
        let acknowledgements = Acknowledgements::default();
        let partition = TopicPartition::new("t", 0);
        let first = acknowledgements.expect(1, partition.clone(), 3);
        let second = acknowledgements.expect(2, partition.clone(), 1);
        assert!(acknowledgements.settled(1).now_or_never().is_none());
        assert!(acknowledgements.awaits(1) && acknowledgements.awaits(2) && !acknowledgements.awaits(3));
        first(acknowledged(10));
        let offsets = acknowledgements.settled(1).now_or_never().expect("settled").expect("written");
        assert_eq!(offsets, BTreeMap::from([(partition.clone(), 12)]));
        assert!(!acknowledgements.awaits(1));
        assert!(acknowledgements.settled(2).now_or_never().is_none());
        second(acknowledged(13));
        let offsets = acknowledgements.settled(2).now_or_never().expect("settled").expect("written");
        assert_eq!(offsets, BTreeMap::from([(partition, 13)]));
        assert!(acknowledgements.state.lock().in_flight.is_empty());
    }

    #[test]
    fn one_failure_fails_all_that_wait() {
        let acknowledgements = Acknowledgements::default();
        let first = acknowledgements.expect(1, TopicPartition::new("t", 0), 1);
        first(Err(BatchError { error: ClientError::invalid("no such topic"), refused: Vec::new() }));
        assert!(acknowledgements.settled(1).now_or_never().expect("settled").is_err());
        assert!(acknowledgements.error().is_some() && !acknowledgements.has_refused());
    }
}
