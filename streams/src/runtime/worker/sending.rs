//! What a worker sends, and in which order.
//!
//! At least once, the changelogs follow what came of the same input: a batch of theirs is sent when all outputs are written that
//! its task had made by then. So state is never ahead of results. What a store has let go (a suppression its newest row, a join
//! what has met nobody) is written when it is forgotten; records that are read again find no row on the changelog whose
//! results are missing. Kafka Streams writes both side by side. Exactly once all of it counts together, in whatever order it
//! is written.
//!
//! Results that a cache holds back have to go out first too: batches of changelogs go behind a flush only, and if many wait,
//! there is one.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use anabranch_client::{ClientError, Producer};

use super::Worker;
use crate::error::Result;
use crate::processor::TaskId;
use crate::runtime::acknowledgements::{AcknowledgedOffsets, Expected};
use crate::runtime::batch_outbox::ReadyBatch;
use crate::runtime::metrics::ThreadMetrics;
use crate::runtime::running_task::RunningTask;

/// What is done when it fails.
const SENDING: &str = "sending records";
/// With so many bytes of changelogs that wait for a flush, one is due.
const UNFLUSHED_BYTES: usize = 1024 * 1024;

/// Batches of changelogs that wait until outputs are written, in the order in which they are sent.
#[derive(Default)]
pub(super) struct HeldChangelogs {
    batches: VecDeque<Held>,
    bytes: usize,
}

struct Held {
    task: TaskId,
    epoch: u64,
    /// So many outputs are to be written before.
    outputs: u64,
    batch: ReadyBatch,
    expected: Expected,
}

impl HeldChangelogs {
    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, held: Held) {
        self.bytes += held.batch.batch.len();
        self.batches.push_back(held);
    }

    /// The next one, if what it waits for is written.
    fn take_if(&mut self, are_written: impl Fn(u64) -> bool) -> Option<Held> {
        let held = self.batches.pop_front_if(|held| are_written(held.outputs))?;
        self.bytes -= held.batch.batch.len();
        Some(held)
    }

    /// Forgets those of tasks that others have now.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&TaskId) -> bool) {
        for held in std::mem::take(self).batches {
            match is_gone(&held.task) {
                true => held.expected.not_sent(),
                false => self.push(held),
            }
        }
    }
}

impl Worker {
    /// Whether records may wait for others, though there is no input at hand: nobody sees before the commit what is written
    /// in a transaction, so as long as something is on its way, larger batches serve better than earlier ones.
    pub(super) fn gathers(&self) -> bool {
        self.context.transaction.is_some()
            && (self.commit.is_some() || self.is_fresh() || self.acknowledgements.awaits(self.epoch))
    }

    /// Sends the batches that are full; all of them, if the caches are, or many of changelogs wait.
    pub(super) async fn send_worked(&mut self) -> Result<()> {
        self.send_ready().await?;
        let pending: usize = self.tasks.values().map(RunningTask::pending_bytes).sum();
        let unflushed: usize = self.tasks.values().map(RunningTask::unflushed_bytes).sum();
        let is_full = pending > self.context.cache_max_bytes.load(Ordering::Relaxed)
            || self.context.transaction.is_none() && unflushed > UNFLUSHED_BYTES;
        if is_full {
            self.flush_all().await?;
        }
        Ok(())
    }

    /// Forwards what the caches hold and sends every batch that holds a record.
    pub(super) async fn flush_all(&mut self) -> Result<()> {
        if self.fenced {
            return Ok(());
        }
        let wall_clock_ms = self.context.host.wall_clock_ms();
        for task in self.tasks.values_mut().filter(|task| task.is_restored()) {
            self.context.busy.begin(task.id(), self.context.host.now());
            task.flush(wall_clock_ms)?;
        }
        self.come_back()?;
        self.send_ready().await
    }

    /// Sends the batches that are finished.
    pub(super) async fn send_ready(&mut self) -> Result<()> {
        if self.context.transaction.is_some() && self.commit.is_some() {
            // It belongs to the next transaction, which begins when this one has ended.
            return Ok(());
        }
        let began = self.context.host.now();
        let sent = self.send_all().await;
        self.context.metrics.blocked(self.context.host.now() - began);
        sent
    }

    async fn send_all(&mut self) -> Result<()> {
        let failed = self.failure();
        for task in self.tasks.values_mut() {
            while let Some(topic) = task.outbox().waits_for() {
                let known = self.context.producer.partition_count(&topic).await;
                known.map_err(|error| failed(&format!("looking up the topic `{topic}`"), error))?;
                task.outbox().append_waiting(&topic)?;
                // They have waited for long enough; and what a commit has made at last belongs to that.
                task.outbox().finish_all();
            }
            let outbox = task.outbox();
            let ready = match &mut self.context.transaction {
                None => outbox.take_outputs(),
                Some(transaction) => {
                    let ready = outbox.take_ready();
                    if !ready.is_empty() {
                        transaction.begin().map_err(|error| failed("beginning a transaction", error))?;
                    }
                    ready
                }
            };
            for ready in ready {
                let expected =
                    self.acknowledgements.expect_output(self.epoch, ready.place(), ready.record_count);
                let sent = send(&self.context.producer, &self.context.metrics, ready, expected).await;
                sent.map_err(|error| failed(SENDING, error))?;
            }
            if self.context.transaction.is_none() {
                let outputs = self.acknowledgements.outputs();
                for batch in task.outbox().take_flushed_changelogs() {
                    let expected =
                        self.acknowledgements.expect(self.epoch, batch.place(), batch.record_count);
                    self.held.push(Held { task: task.id(), epoch: self.epoch, outputs, batch, expected });
                }
            }
        }
        self.send_due().await
    }

    /// Sends the changelogs that wait no longer.
    ///
    /// # Errors
    /// What that ends.
    pub(super) async fn send_due(&mut self) -> Result<()> {
        let sent = self.send_held().await;
        sent.map_err(|error| self.failure()(SENDING, error))
    }

    async fn send_held(&mut self) -> Result<(), ClientError> {
        while let Some(held) = self.held.take_if(|outputs| self.acknowledgements.are_written(outputs)) {
            send(&self.context.producer, &self.context.metrics, held.batch, held.expected).await?;
        }
        Ok(())
    }

    /// Waits until changelogs wait no longer: for ever, if none does.
    pub(super) fn held_is_due(&self) -> impl Future<Output = ()> + use<> {
        let written = self.held.batches.front().map(|held| self.acknowledgements.written(held.outputs));
        async move {
            match written {
                Some(written) => written.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Waits for the outcome of the commit in flight, if there is one. What it waits for is sent meanwhile.
    pub(super) async fn commit_ended(&mut self) -> Option<Result<AcknowledgedOffsets, ClientError>> {
        loop {
            let waits_for_held = self.held.batches.front().is_some_and(|held| held.epoch < self.epoch);
            let held = self.held_is_due();
            let commit = self.commit.as_mut()?;
            if !waits_for_held {
                return Some(commit.await);
            }
            let done = tokio::select! {
                biased;
                done = commit => Some(done),
                () = held => None,
            };
            match done {
                Some(done) => return Some(done),
                None => match self.send_held().await {
                    Ok(()) => {}
                    // Then it can never be.
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }
}

async fn send(
    producer: &Producer,
    metrics: &ThreadMetrics,
    batch: ReadyBatch,
    expected: Expected,
) -> Result<(), ClientError> {
    let ReadyBatch { topic, partition, record_count, batch } = batch;
    metrics.produced(&topic, record_count, batch.len());
    producer.send_batch(topic, partition, batch, |fate| expected.answered(fate)).await
}
