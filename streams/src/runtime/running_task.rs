//! A task on its worker: the task itself, its outbox, and its state coming back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Context;

use anabranch_client::records::batches;
use anabranch_client::{FetchedBatches, OffsetAndMetadata, TopicPartition};
use anabranch_state_store::Checkpoint;

use super::acknowledgements::AcknowledgedOffsets;
use super::batch_outbox::BatchOutbox;
use super::restore::{Changelog, Restoration, Restored};
use super::worker::Offsets;
use crate::error::{Error, ErrorKind, Result};
use crate::processor::{RawInput, TaskId};
use crate::task::{Epoch, Task};

/// A task that a worker drives.
pub(crate) struct RunningTask {
    task: Task,
    outbox: BatchOutbox,
    /// The task's input of each partition.
    inputs: BTreeMap<TopicPartition, usize>,
    /// The changelogs of its stores, by the store's index.
    changelogs: Vec<Option<Changelog>>,
    /// None when the state is there.
    restoration: Option<Restoration>,
    /// The epoch whose commit is in flight.
    sealed: Option<Epoch>,
    /// Offsets last committed, so that what has not moved is not committed again.
    committed: Offsets,
    /// Inputs that are read again after an abort: what still comes from before is stale.
    rewinding: BTreeSet<usize>,
    /// For decompressed batches.
    scratch: Vec<u8>,
    /// Encoded headers of one record.
    headers: Vec<u8>,
}

impl RunningTask {
    pub(crate) fn new(
        task: Task,
        outbox: BatchOutbox,
        changelogs: Vec<Option<Changelog>>,
        restoration: Option<Restoration>,
    ) -> Self {
        let inputs = task.inputs().iter().enumerate();
        let inputs = inputs
            .map(|(index, input)| (TopicPartition::new(Arc::clone(&input.topic), input.partition), index))
            .collect();
        RunningTask {
            task,
            outbox,
            inputs,
            changelogs,
            restoration,
            sealed: None,
            committed: Offsets::new(),
            rewinding: BTreeSet::new(),
            scratch: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn id(&self) -> TaskId {
        self.task.id()
    }

    pub(crate) fn reads(&self, partition: &TopicPartition) -> bool {
        self.inputs.contains_key(partition)
    }

    pub(crate) fn task_mut(&mut self) -> &mut Task {
        &mut self.task
    }

    pub(crate) fn outbox(&mut self) -> &mut BatchOutbox {
        &mut self.outbox
    }

    /// Whether its state is there, so that it processes.
    pub(crate) fn is_restored(&self) -> bool {
        self.restoration.is_none()
    }

    /// Whether a changelog has brought something; wakes the caller when one does.
    pub(crate) fn poll_restore(&mut self, context: &mut Context<'_>) -> bool {
        self.restoration.as_mut().is_some_and(|restoration| restoration.poll_ready(context))
    }

    /// Applies what the changelogs have brought; true once all of them are read to their ends.
    ///
    /// # Errors
    /// If a changelog cannot be read, or a store refuses a row.
    pub(crate) fn restore_step(&mut self, wall_clock_ms: i64) -> Result<bool> {
        let Some(restoration) = &mut self.restoration else { return Ok(false) };
        while let Some((store, restored)) = restoration.take() {
            match restored {
                Restored::Batches(fetched) => {
                    for batch in batches(&fetched.records) {
                        let batch = batch.and_then(|batch| batch.check_crc().map(|()| batch));
                        let batch = batch.map_err(|error| corrupt(&fetched, error))?;
                        let records =
                            batch.records(&mut self.scratch).map_err(|error| corrupt(&fetched, error))?;
                        for record in records {
                            let record = record.map_err(|error| corrupt(&fetched, error))?;
                            let Some(key) = record.key.filter(|_| record.offset >= fetched.fetch_offset)
                            else {
                                continue;
                            };
                            self.headers.clear();
                            if !record.headers.is_empty() {
                                record.headers.encode_into(&mut self.headers);
                            }
                            self.task.restore(store, key, record.value, record.timestamp, &self.headers)?;
                        }
                    }
                }
                Restored::End(end) => {
                    if end > 0 {
                        self.task.restored_to(store, Checkpoint { offset: end - 1, wall_clock_ms });
                    }
                }
                Restored::Failed(error) => {
                    let changelog =
                        self.changelogs[store].as_ref().map(|changelog| Arc::clone(&changelog.topic));
                    let changelog = changelog.unwrap_or_default();
                    return Err(Error::fatal(format_args!("restoring from `{changelog}`")).with_source(error));
                }
            }
        }
        let done = restoration.is_done();
        if done {
            self.restoration = None;
        }
        Ok(done)
    }

    /// Queues fetched batches; gives how many records of that partition wait now.
    ///
    /// # Errors
    /// If a batch is damaged.
    pub(crate) fn enqueue(&mut self, fetched: &FetchedBatches) -> Result<usize> {
        let partition = TopicPartition { topic: Arc::clone(&fetched.topic), partition: fetched.partition };
        let Some(&input) = self.inputs.get(&partition) else { return Ok(0) };
        if self.rewinding.contains(&input) {
            return Ok(0);
        }
        self.task.fetched(input, fetched.fetch_offset, fetched.next_offset);
        for batch in batches(&fetched.records) {
            let batch = batch.and_then(|batch| batch.check_crc().map(|()| batch));
            let batch = batch.map_err(|error| corrupt(fetched, error))?;
            for record in batch.records(&mut self.scratch).map_err(|error| corrupt(fetched, error))? {
                let record = record.map_err(|error| corrupt(fetched, error))?;
                if record.offset < fetched.fetch_offset {
                    continue;
                }
                self.headers.clear();
                if !record.headers.is_empty() {
                    record.headers.encode_into(&mut self.headers);
                }
                let (offset, timestamp) = (record.offset, record.timestamp);
                let (key, value) = (record.key, record.value);
                self.task.enqueue(input, RawInput { offset, timestamp, key, value, headers: &self.headers });
            }
        }
        Ok(self.task.inputs()[input].buffered())
    }

    /// How many records of a partition wait; none if it is another task's.
    pub(crate) fn buffered(&self, partition: &TopicPartition) -> Option<usize> {
        self.inputs.get(partition).map(|input| self.task.inputs()[*input].buffered())
    }

    /// Processes up to `records` records; whether there was one.
    ///
    /// # Errors
    /// If one fails and the policy says to stop.
    pub(crate) fn process(&mut self, records: usize, wall_clock_ms: i64) -> Result<bool> {
        self.outbox.wall_clock_ms = wall_clock_ms;
        for count in 0..records {
            if !self.task.process(wall_clock_ms, &mut self.outbox)? {
                return Ok(count > 0);
            }
        }
        Ok(true)
    }

    /// Calls what is due by the wall clock; whether there was something.
    ///
    /// # Errors
    /// As [`RunningTask::process`].
    pub(crate) fn punctuate(&mut self, wall_clock_ms: i64) -> Result<bool> {
        self.outbox.wall_clock_ms = wall_clock_ms;
        self.task.punctuate_by_wall_clock(wall_clock_ms, &mut self.outbox)
    }

    /// When the wall clock gives it something to do next.
    pub(crate) fn next_punctuation(&self) -> Option<i64> {
        self.task.next_wall_clock_punctuation().filter(|_| self.is_restored())
    }

    /// Whether a processor has asked for a commit.
    pub(crate) fn commit_requested(&self) -> bool {
        self.task.commit_requested()
    }

    /// Forwards what caches hold and finishes every batch.
    ///
    /// # Errors
    /// As [`RunningTask::process`].
    pub(crate) fn flush(&mut self, wall_clock_ms: i64) -> Result<()> {
        self.outbox.wall_clock_ms = wall_clock_ms;
        self.task.flush(&mut self.outbox)?;
        self.outbox.finish_all();
        Ok(())
    }

    pub(crate) fn needs_commit(&self) -> bool {
        self.is_restored() && self.task.needs_commit()
    }

    /// Ends the epoch and gives the offsets that have moved. What it writes at last is in the outbox then.
    ///
    /// # Errors
    /// As [`RunningTask::process`].
    pub(crate) fn seal(&mut self, wall_clock_ms: i64) -> Result<Offsets> {
        self.outbox.wall_clock_ms = wall_clock_ms;
        let sealed = self.task.seal(&mut self.outbox)?;
        self.outbox.finish_all();
        self.sealed = Some(sealed.epoch);
        let mut moved = Offsets::new();
        for (input, offset, metadata) in sealed.offsets {
            let input = &self.task.inputs()[input];
            let partition = TopicPartition::new(Arc::clone(&input.topic), input.partition);
            let offset = OffsetAndMetadata::new(offset).with_metadata(metadata);
            if self.committed.get(&partition) != Some(&offset) {
                self.committed.insert(partition.clone(), offset.clone());
                moved.insert(partition, offset);
            }
        }
        Ok(moved)
    }

    /// The sealed epoch is committed: its undo lists are forgotten, its rows may be written behind.
    ///
    /// # Errors
    /// If the engine fails.
    pub(crate) fn committed(&mut self, acknowledged: &AcknowledgedOffsets, wall_clock_ms: i64) -> Result<()> {
        let Some(epoch) = self.sealed.take() else { return Ok(()) };
        let partition = self.task.id().partition;
        for (store, changelog) in self.changelogs.iter().enumerate() {
            let Some(changelog) = changelog else { continue };
            let name = TopicPartition::new(Arc::clone(&changelog.topic), partition);
            if let Some(offset) = acknowledged.get(&name) {
                self.task.acknowledged(store, Checkpoint { offset: *offset, wall_clock_ms });
            }
        }
        self.task.commit(epoch)
    }

    /// Undoes what is not committed. Says where its partitions are to be read again; until [`RunningTask::rewound`] what
    /// comes of them is stale.
    ///
    /// # Errors
    /// If a node cannot be made anew.
    pub(crate) fn abort(&mut self) -> Result<Vec<(TopicPartition, i64)>> {
        self.task.abort()?;
        self.outbox.clear();
        self.sealed = None;
        self.committed.clear();
        let mut rewound = Vec::new();
        for (partition, &input) in &self.inputs {
            if let Some(offset) = self.task.rewound_to(input) {
                self.rewinding.insert(input);
                rewound.push((partition.clone(), offset));
            }
        }
        Ok(rewound)
    }

    /// What comes of the partition from now on is read from where the abort went back to.
    pub(crate) fn rewound(&mut self, partition: &TopicPartition) {
        if let Some(input) = self.inputs.get(partition) {
            self.rewinding.remove(input);
        }
    }

    /// Committed rows that the engine does not have yet.
    pub(crate) fn unstored_rows(&self) -> usize {
        self.task.unstored_rows()
    }

    /// Writes a chunk of them; false if nothing is left.
    ///
    /// # Errors
    /// If the engine fails.
    pub(crate) fn write_behind(&mut self) -> Result<bool> {
        if self.is_restored() { self.task.write_behind() } else { Ok(false) }
    }

    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.task.uncommitted_bytes()
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.task.pending_bytes()
    }

    /// Ends it after a commit: the engine gets what it does not have yet.
    ///
    /// # Errors
    /// If the engine fails.
    pub(crate) fn close(mut self) -> Result<()> {
        while self.write_behind()? {}
        Ok(())
    }
}

#[cold]
fn corrupt(fetched: &FetchedBatches, error: anabranch_client::records::RecordsError) -> Error {
    let message =
        format_args!("records of {}-{} at offset {}", fetched.topic, fetched.partition, fetched.fetch_offset);
    Error::new(ErrorKind::Fatal, message).with_source(error)
}
