//! Which batches of which epoch are still on their way.
//!
//! A commit waits until everything its epoch has written is acknowledged; what the epochs behind it send meanwhile does
//! not hold it up. Per changelog partition the highest acknowledged offset is kept: the checkpoint of its store. Outputs are
//! numbered where changelogs wait for them.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Outputs that are not written yet, or never will be...
    outputs: BTreeSet<u64>,
    /// ...and the number of the next one.
    next_output: u64,
    error: Option<ClientError>,
    /// Records that will never be written as they are.
    refused: Vec<Refused>,
    waker: Option<Waker>,
}

impl State {
    fn are_written(&self, outputs: u64) -> bool {
        self.outputs.first().is_none_or(|first| *first >= outputs)
    }

    /// A batch of `epoch` is on its way no more.
    fn ended(&mut self, epoch: u64) {
        if let Some(count) = self.in_flight.get_mut(&epoch) {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(&epoch);
            }
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The highest acknowledged offset of each partition.
pub(crate) type AcknowledgedOffsets = BTreeMap<TopicPartition, i64>;

/// A batch that is counted.
#[must_use = "its epoch waits for it"]
pub(crate) struct Expected {
    state: Arc<Mutex<State>>,
    epoch: u64,
    partition: TopicPartition,
    record_count: usize,
    output: Option<u64>,
}

impl Expected {
    /// Its fate is known.
    pub(crate) fn answered(self, fate: Result<BatchMetadata, BatchError>) {
        let Expected { state, epoch, partition, record_count, output } = self;
        let mut state = state.lock();
        let is_written = fate.is_ok();
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
        if let Some(output) = output.filter(|_| is_written) {
            state.outputs.remove(&output);
        }
        state.ended(epoch);
    }

    /// It is not sent after all, and nobody is to wait for it.
    pub(crate) fn not_sent(self) {
        self.state.lock().ended(self.epoch);
    }
}

impl Acknowledgements {
    /// Counts a batch of `epoch`.
    pub(crate) fn expect(&self, epoch: u64, partition: TopicPartition, record_count: usize) -> Expected {
        *self.state.lock().in_flight.entry(epoch).or_default() += 1;
        Expected { state: Arc::clone(&self.state), epoch, partition, record_count, output: None }
    }

    /// Counts a batch of `epoch` that changelogs may wait for.
    pub(crate) fn expect_output(
        &self,
        epoch: u64,
        partition: TopicPartition,
        record_count: usize,
    ) -> Expected {
        let mut state = self.state.lock();
        let output = state.next_output;
        state.next_output += 1;
        state.outputs.insert(output);
        drop(state);
        Expected { output: Some(output), ..self.expect(epoch, partition, record_count) }
    }

    /// How many outputs there were so far.
    pub(crate) fn outputs(&self) -> u64 {
        self.state.lock().next_output
    }

    /// Whether the first so many outputs are written.
    pub(crate) fn are_written(&self, outputs: u64) -> bool {
        self.state.lock().are_written(outputs)
    }

    /// Waits until the first so many outputs are written: for ever, if one failed.
    pub(crate) fn written(&self, outputs: u64) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(&self.state);
        std::future::poll_fn(move |context| {
            let mut state = shared.lock();
            if state.are_written(outputs) {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
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
                // All who wait are one worker, so there is one to wake.
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
        first.answered(acknowledged(10));
        let offsets = acknowledgements.settled(1).now_or_never().expect("settled").expect("written");
        assert_eq!(offsets, BTreeMap::from([(partition.clone(), 12)]));
        assert!(!acknowledgements.awaits(1));
        assert!(acknowledgements.settled(2).now_or_never().is_none());
        second.answered(acknowledged(13));
        let offsets = acknowledgements.settled(2).now_or_never().expect("settled").expect("written");
        assert_eq!(offsets, BTreeMap::from([(partition, 13)]));
        assert!(acknowledgements.state.lock().in_flight.is_empty());
    }

    #[test]
    fn one_failure_fails_all_that_wait() {
        let acknowledgements = Acknowledgements::default();
        let first = acknowledgements.expect(1, TopicPartition::new("t", 0), 1);
        first.answered(Err(BatchError { error: ClientError::invalid("no such topic"), refused: Vec::new() }));
        assert!(acknowledgements.settled(1).now_or_never().expect("settled").is_err());
        assert!(acknowledgements.error().is_some() && !acknowledgements.has_refused());
    }

    #[test]
    fn outputs_are_written_in_any_order() {
        let acknowledgements = Acknowledgements::default();
        let expect = || acknowledgements.expect_output(1, TopicPartition::new("t", 0), 1);
        let written = |count| acknowledgements.written(count).now_or_never().is_some();
        assert!(written(0) && acknowledgements.outputs() == 0);
        let (first, second, third) = (expect(), expect(), expect());
        assert!(acknowledgements.outputs() == 3 && !written(1));
        second.answered(acknowledged(1));
        assert!(written(0) && !written(2));
        first.answered(acknowledged(0));
        assert!(written(2) && !written(3));
        // One that failed is never written, and what follows it waits for ever.
        third.answered(Err(BatchError { error: ClientError::invalid("no such topic"), refused: Vec::new() }));
        assert!(written(2) && !written(3) && !acknowledgements.awaits(1));
    }

    #[test]
    fn what_is_not_sent_holds_nobody_up() {
        let acknowledgements = Acknowledgements::default();
        let expected = acknowledgements.expect(1, TopicPartition::new("t", 0), 1);
        let mut settled = std::pin::pin!(acknowledgements.settled(1));
        assert!(settled.as_mut().now_or_never().is_none());
        expected.not_sent();
        assert!(settled.now_or_never().expect("settled").expect("no error").is_empty());
    }
}
