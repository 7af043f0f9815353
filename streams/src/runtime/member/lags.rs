//! How many records the broker still has of partitions that a task reads beside others: the task waits for them.
//!
//! Workers hear of it in the same queue by which the records come, so that what they are told to be missing is behind
//! what they have got.

use std::collections::BTreeMap;

use anabranch_client::TopicPartition;

use super::Member;
use crate::processor::TaskId;
use crate::runtime::worker::ToWorker;

/// What workers were told last, by partition; `None`: nothing since the task was opened, or sought.
#[derive(Debug, Default)]
pub(super) struct ToldLags(BTreeMap<TopicPartition, Option<i64>>);

impl ToldLags {
    /// A partition is read from elsewhere: what was told of it means nothing any more.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        if let Some(told) = self.0.get_mut(partition) {
            *told = None;
        }
    }
}

impl Member {
    /// A task is opened: its worker is to be told.
    pub(super) fn watch_lags(&mut self, task: TaskId) {
        let inputs = self.inputs(task);
        if inputs.len() > 1 && self.maker.waits_for_inputs() {
            self.lags.0.extend(inputs.into_iter().map(|input| (input, None)));
        }
    }

    /// Tells the workers what has changed. Due after every poll, when its records are on their way.
    pub(super) fn tell_lags(&mut self) {
        let mut changed: BTreeMap<usize, Vec<(TopicPartition, i64)>> = BTreeMap::new();
        let (shared, plan, consumer) = (&self.shared, self.shared.plan(), &self.consumer);
        self.lags.0.retain(|partition, told| {
            let reader = plan.reader_of(partition);
            let Some(worker) = reader.and_then(|task| shared.placed.lock().get(&task).copied()) else {
                return false;
            };
            let lag = consumer.current_lag(partition);
            if let Some(lag) = lag.filter(|_| *told != lag) {
                *told = Some(lag);
                changed.entry(worker).or_default().push((partition.clone(), lag));
            }
            true
        });
        for (worker, lags) in changed {
            self.tell(worker, ToWorker::Lags(lags));
        }
    }
}
