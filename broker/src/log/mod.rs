//! The log of one partition, and the directory that holds the logs of a broker.
//!
//! Kafka's files byte for byte: segments of batches with an offset and a time index, producer snapshots, leader epochs,
//! checkpoints. A [`Log`] is plain data under its partition's lock: appends and reads are synchronous and meet the page
//! cache; what makes appends durable is the [journal](crate::journal), which moves the log's [`Watermark`] some time
//! after the append returned. A [`LogDirectory`] opens all logs at the start, recovers them after a crash, and syncs
//! them from time to time so that the journal can be cut.
//!
//! Reading order: `names`, `checkpoint` and `owner` (the small files), `index_file`, `offset_index`, `time_index`,
//! `transaction_index`, `scan`, `segment`, `segment_read`, `segment_search`, then the state beside the segments
//! (`leader_epochs`, `producer_state`, `producer_snapshot`, `producer_rebuild`), then what a log does (`validate`,
//! `append`, `read`, `retention`, `truncation`, `compaction`), and the directory (`directory`, `checkpointer`, `replay`,
//! `crash_scan`, `recovery`).

mod append;
mod checkpoint;
mod checkpointer;
mod compaction;
mod crash_scan;
mod directory;
mod error;
mod index_file;
mod leader_epochs;
mod names;
mod offset_index;
mod owner;
mod producer_rebuild;
mod producer_snapshot;
mod producer_state;
mod read;
mod recovery;
mod replay;
mod retention;
mod scan;
mod segment;
mod segment_read;
mod segment_search;
mod time_index;
mod transaction_index;
mod truncation;
mod validate;

use std::path::Path;
use std::sync::Arc;

use anabranch_host::{Disk, OpenOptions};
use anabranch_protocol::Uuid;
use anabranch_protocol::records::BatchHeader;

pub use append::{AppendInfo, AppendOrigin};
pub use compaction::{Cleanable, CleanedLog, CleanerLimits, CleanerProgress, Pace, clean};
pub use directory::{LogDirectory, LogDirectoryConfig, RecoveredLog};
pub use error::{AppendError, LogError};
pub use leader_epochs::LeaderEpoch;
pub use producer_state::{AppendedBatch, Membership, OpenTransaction, ProducerState};
pub use read::EndPosition;
pub use segment_read::ReadLimit;
pub use segment_search::FoundRecord;
pub use transaction_index::AbortedTransaction;
pub(crate) use validate::one_batch;

use crate::config::TopicConfig;
use crate::journal::{Durability, Journal};
use crate::partition_name::PartitionName;
use crate::watermark::{Durable, Watermark};
use leader_epochs::LeaderEpochs;
use producer_state::ProducerStates;
use producer_state::verifications::Verifications;
use segment::{Segment, SegmentFiles};

/// The log of one partition.
#[derive(Debug)]
pub struct Log {
    config: Arc<TopicConfig>,
    journal: Journal,
    durability: Arc<Durability>,
    files: SegmentFiles,
    /// By rising base offset; the last takes the appends. None before the first append.
    segments: Vec<Segment>,
    start_offset: i64,
    end_offset: i64,
    producers: ProducerStates,
    verifications: Verifications,
    epochs: LeaderEpochs,
    /// Whether the partition has its directory; it comes with the first append.
    has_directory: bool,
    /// What chance takes off `segment.ms`, in 2^-32 of `segment.jitter.ms`.
    jitter: u32,
    /// Where a cut that is under way will end.
    truncating_to: Option<i64>,
    /// Whether a cleaned segment is taking the place of others.
    is_swapping: bool,
    /// Closed for good: what came now would be missing in what was written at the close.
    is_closed: bool,
}

impl Log {
    /// The topic and partition.
    #[must_use]
    pub fn name(&self) -> &PartitionName {
        self.durability.name()
    }

    /// The id of the topic.
    #[must_use]
    pub fn topic_id(&self) -> Uuid {
        self.durability.topic_id()
    }

    /// The directory of the partition. It is not there before the first append.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.files.directory
    }

    /// The topic's configuration.
    #[must_use]
    pub fn config(&self) -> &Arc<TopicConfig> {
        &self.config
    }

    /// Changes the topic's configuration; it holds from the next append on.
    pub fn set_config(&mut self, config: Arc<TopicConfig>) {
        let interval = index_interval_bytes(&config);
        self.segments.iter_mut().for_each(|segment| segment.set_index_interval_bytes(interval));
        self.config = config;
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn log_start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn log_end_offset(&self) -> i64 {
        self.end_offset
    }

    /// The end of what is durable, which rises by itself after appends. Whoever waits for an append waits here.
    #[must_use]
    pub fn watermark(&self) -> &Arc<Watermark> {
        self.durability.watermark()
    }

    /// The offset after the last durable record.
    #[must_use]
    pub fn durable_end_offset(&self) -> i64 {
        self.watermark().value()
    }

    /// Resolves when all that was appended up to now is durable.
    pub fn settled(&self) -> Durable {
        self.watermark().reached(self.end_offset - 1)
    }

    /// Bytes of records.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.bytes())).sum()
    }

    /// Bytes of records in segments that end before `offset`.
    pub(crate) fn bytes_before(&self, offset: i64) -> u64 {
        let ended = self.segments.windows(2).take_while(|pair| pair[1].base_offset() <= offset);
        ended.map(|pair| u64::from(pair[0].bytes())).sum()
    }

    /// How many segments there are.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// The newest leader epoch that has a record.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// All leader epochs and where they begin.
    #[must_use]
    pub fn leader_epochs(&self) -> &[LeaderEpoch] {
        self.epochs.entries()
    }

    /// The leader epoch of the record at `offset`.
    #[must_use]
    pub fn epoch_of(&self, offset: i64) -> Option<i32> {
        self.epochs.epoch_of(offset)
    }

    /// The largest epoch that is not above `epoch`, and the offset at which it ends (KIP-101, OffsetForLeaderEpoch).
    #[must_use]
    pub fn end_offset_of_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        self.epochs.end_offset_of(epoch, self.end_offset)
    }

    /// The producers that have appended lately, by rising id.
    #[must_use]
    pub fn producers(&self) -> Vec<(i64, &ProducerState)> {
        self.producers.sorted()
    }

    /// The newest epoch in which a producer has appended, if it is known.
    #[must_use]
    pub fn producer_epoch(&self, producer_id: i64) -> Option<i16> {
        self.producers.epoch(producer_id)
    }

    /// The transactions that no marker has ended yet, by the order in which they began.
    #[must_use]
    pub fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.producers.open_transactions()
    }

    /// Whether the producer has a transaction open here, in this epoch, of which its coordinator is known to know.
    #[must_use]
    pub fn has_open_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        self.producers.has_open_transaction(producer_id, producer_epoch)
    }

    /// The coordinator is asked whether this batch belongs to a transaction; until one of its producer is appended, none that
    /// comes after it is.
    ///
    /// # Errors
    /// If its epoch has passed: then nobody needs to be asked.
    pub fn begin_verification(&mut self, header: &BatchHeader, now_ms: i64) -> Result<(), AppendError> {
        self.producers.admit_epoch(header)?;
        self.verifications.asked(header, now_ms);
        Ok(())
    }

    /// Forgets producers that have been silent for `expiration_ms`, unless they have a transaction open.
    pub fn expire_producers(&mut self, now_ms: i64, expiration_ms: i64) {
        self.producers.expire(now_ms, expiration_ms);
        self.verifications.expire(now_ms, expiration_ms);
    }

    /// The end of what may be read committed: the high watermark, or the first offset of the oldest transaction that is
    /// undecided below it.
    #[must_use]
    pub fn last_stable_offset(&self, high_watermark: i64) -> i64 {
        let undecided = self.producers.first_undecided_offset(high_watermark);
        // Where records were deleted, an open transaction may have begun before the log does.
        let bound = undecided.map_or(high_watermark, |first_offset| first_offset.max(self.start_offset));
        bound.min(high_watermark)
    }

    /// Writes what is only in memory, as the last act before a clean stop: index entries and the producer snapshot.
    /// The directory's shutdown then syncs it. Nothing is appended any more.
    ///
    /// # Errors
    /// If a file cannot be written; the next start then recovers the log.
    pub fn close(&mut self) -> Result<(), LogError> {
        self.is_closed = true;
        let end_offset = self.end_offset;
        if self.segments.is_empty() {
            return Ok(());
        }
        let active = self.segments.last_mut().expect("there is one");
        active.seal()?;
        self.journal.sealed(&self.durability, active.all_files(), end_offset);
        self.write_snapshot()?;
        if !self.producers.is_empty() {
            self.durability.closed_with_snapshot();
        }
        Ok(())
    }

    fn disk(&self) -> &Disk {
        self.files.open_files.disk()
    }

    /// Writes the state of the producers at the end of the log, if there are any. The segments up to there are sealed.
    fn write_snapshot(&mut self) -> Result<(), LogError> {
        if self.producers.is_empty() {
            return Ok(());
        }
        let path =
            self.files.directory.join(names::offset_file_name(self.end_offset, names::SNAPSHOT_SUFFIX));
        let bytes = producer_snapshot::encode_snapshot(&self.producers);
        self.disk()
            .open(&path, OpenOptions::create_empty())
            .and_then(|file| file.write_all_at(&bytes, 0))
            .map_err(LogError::io(&path))?;
        let snapshot = self.files.open_files.file(path);
        self.journal.note(&self.durability, self.durability.wrote(&snapshot, self.end_offset));
        self.journal.note(&self.durability, self.durability.named(false));
        Ok(())
    }

    /// Hands the text of the leader epochs to the next checkpoint.
    fn epochs_changed(&self) {
        let path = self.files.directory.join(checkpoint::LEADER_EPOCHS);
        self.journal.note(&self.durability, self.durability.replaces(path, self.epochs.to_text()));
    }
}

/// `index.interval.bytes` as the segments want it.
fn index_interval_bytes(config: &TopicConfig) -> u32 {
    u32::try_from(config.index_interval_bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests;
