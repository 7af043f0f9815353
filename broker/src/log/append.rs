//! Appending: checks, offsets, a roll if it is time, the write, and who is told.

use anabranch_host::is_shortage;
use anabranch_protocol::records::{
    BATCH_HEADER_BYTES, Batch, BatchHeader, ControlRecord, NO_TIMESTAMP, batches,
};
use bytes::Bytes;

use super::error::{AppendError, LogError};
use super::owner::{PARTITION_METADATA, write_owner};
use super::producer_state::{Admission, Membership};
use super::segment::{Segment, SegmentAppendError};
use super::validate::validate;
use super::{Log, index_interval_bytes};
use crate::journal::{Append, HEAD_BYTES};
use crate::watermark::Gone;

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: all checks.
    Client,
    /// A producer, with a batch of a transaction of which its coordinator knows.
    Transaction(Membership),
    /// A coordinator of this broker, which may write markers and is not asked for sequence numbers.
    Coordinator,
    /// The same, with a marker of a producer whose epoch rises with every transaction (KIP-890).
    EpochBump,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    /// The offset of its first record; the old one for a duplicate.
    pub base_offset: i64,
    /// The offset of its last record. The batch is durable when the watermark stands above it.
    pub last_offset: i64,
    /// Whether the batch had been appended before, and nothing was written.
    pub is_duplicate: bool,
    /// The time of the append if it stands for the records' timestamps, else -1.
    pub log_append_time_ms: i64,
    /// The first offset of the log.
    pub log_start_offset: i64,
}

impl Log {
    /// Appends one batch as the leader of `leader_epoch`: checks it, gives it its offsets, and writes it. It is durable,
    /// and may be acknowledged, when the [watermark](Log::watermark) has passed its last offset; so is a duplicate.
    ///
    /// # Errors
    /// If the batch is refused, or the disk is full or has failed. The log is as it was.
    pub fn append(
        &mut self,
        records: &Bytes,
        leader_epoch: i32,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        self.check_open()?;
        let batch = validate(records, &self.config, origin, now_ms, self.name())?;
        let log_append_time_ms =
            if batch.header.is_log_append_time() { batch.header.max_timestamp } else { NO_TIMESTAMP };
        let control = self.control_record(&batch)?;
        let membership = match origin {
            AppendOrigin::Transaction(membership) => membership,
            _ => Membership::Unknown,
        };
        match (origin, control) {
            (AppendOrigin::Client | AppendOrigin::Transaction(_), _) => {
                let admission = self.producers.admit(&batch.header, membership, self.end_offset)?;
                if let Admission::Duplicate(old) = admission {
                    return Ok(AppendInfo {
                        base_offset: old.base_offset(),
                        last_offset: old.last_offset,
                        is_duplicate: true,
                        // Kafka tells when the first one was, whatever the topic's kind of timestamp.
                        log_append_time_ms: old.timestamp,
                        log_start_offset: self.start_offset,
                    });
                }
                if let Some(missing) = self.verifications.missing_before(&batch.header) {
                    return Err(AppendError::OutOfOrderSequence {
                        producer_id: batch.header.producer_id,
                        sequence: batch.header.base_sequence,
                        last_sequence: missing.saturating_sub(1),
                        log_end_offset: self.end_offset,
                    });
                }
            }
            (AppendOrigin::Coordinator | AppendOrigin::EpochBump, Some(control)) => {
                let bumps_epoch = origin == AppendOrigin::EpochBump;
                self.producers.admit_marker(&batch.header, control, bumps_epoch)?
            }
            (AppendOrigin::Coordinator | AppendOrigin::EpochBump, None) => {
                self.producers.admit_epoch(&batch.header)?
            }
        }
        let mut header = batch.header;
        header.base_offset = self.end_offset;
        header.partition_leader_epoch = leader_epoch;
        self.write(&header, &batch.bytes, control, now_ms)?;
        self.verifications.appended(&header);
        if membership != Membership::Unknown {
            self.producers.verified(header.producer_id);
        }
        Ok(AppendInfo {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            is_duplicate: false,
            log_append_time_ms,
            log_start_offset: self.start_offset,
        })
    }

    /// Appends batches as they were fetched from the leader: offsets and epochs stand in them.
    ///
    /// # Errors
    /// If a batch is damaged or does not continue the log, or the disk fails. Batches before it are appended.
    pub fn append_as_follower(&mut self, records: &Bytes, now_ms: i64) -> Result<(), AppendError> {
        self.check_open()?;
        for batch in batches(records) {
            let batch = batch.map_err(AppendError::Corrupt)?;
            batch.check_crc().map_err(AppendError::Corrupt)?;
            let header = batch.header;
            if header.base_offset < self.end_offset || header.last_offset_delta < 0 {
                return Err(AppendError::NotContiguous {
                    base_offset: header.base_offset,
                    log_end_offset: self.end_offset,
                });
            }
            let control = self.control_record(&batch)?;
            self.write(&header, &batch.bytes, control, now_ms)?;
        }
        Ok(())
    }

    fn check_open(&self) -> Result<(), AppendError> {
        self.journal.check_online()?;
        match self.watermark().gone() {
            Some(gone) => Err(AppendError::Gone(gone)),
            None if self.is_closed => Err(AppendError::Gone(Gone::ShuttingDown)),
            None if self.truncating_to.is_some() => Err(AppendError::Truncating),
            None => Ok(()),
        }
    }

    /// What a control batch says.
    fn control_record(&self, batch: &Batch) -> Result<Option<ControlRecord>, AppendError> {
        if !batch.header.is_control() {
            return Ok(None);
        }
        let mut scratch = Vec::new();
        let record = batch.records(&mut scratch).map_err(AppendError::Corrupt)?.next();
        match record {
            Some(record) => {
                let record = record.map_err(AppendError::Corrupt)?;
                ControlRecord::parse(&record).map(Some).map_err(AppendError::Corrupt)
            }
            None => Ok(None),
        }
    }

    /// Writes a checked batch; `header` is its header as it is to be stored.
    fn write(
        &mut self,
        header: &BatchHeader,
        bytes: &Bytes,
        control: Option<ControlRecord>,
        now_ms: i64,
    ) -> Result<(), AppendError> {
        debug_assert!(bytes.len() >= BATCH_HEADER_BYTES);
        self.make_room(header, bytes.len(), now_ms).map_err(|error| self.append_error(error))?;
        let mut head: [u8; HEAD_BYTES] = bytes[..HEAD_BYTES].try_into().expect("it is as long as that");
        head[..8].copy_from_slice(&header.base_offset.to_be_bytes());
        head[12..].copy_from_slice(&header.partition_leader_epoch.to_be_bytes());
        let rest = bytes.slice(HEAD_BYTES..);
        let segment = self.segments.last_mut().expect("room was made");
        let position = match segment.append(&head, &rest, header) {
            Ok(position) => position,
            Err(SegmentAppendError::Clean(source)) => {
                let path = segment.file().path();
                return Err(self.append_error(LogError::Io { path, source }));
            }
            Err(SegmentAppendError::Poisoned(source)) => {
                self.journal.fail("half a batch cannot be removed", &source);
                return Err(AppendError::Gone(Gone::Offline));
            }
        };
        self.end_offset = header.next_offset();
        match control {
            Some(control) => {
                let ended = self.producers.marked(header, control, now_ms);
                if let Some(ended) = ended.filter(|ended| ended.is_aborted) {
                    let segment = self.segments.last_mut().expect("it was written to");
                    // What cannot be written stays in memory until it can.
                    if let Err(error) = segment.transactions_mut().note(ended.ended) {
                        tracing::warn!(partition = %self.name(), %error, "an index is not written yet");
                    }
                }
                // What ended long ago bounds nobody's reading any more.
                let durable_end = self.durable_end_offset();
                self.producers.decide_up_to(durable_end);
            }
            None => self.producers.appended(header, now_ms),
        }
        if self.epochs.assign(header.partition_leader_epoch, header.base_offset) {
            self.epochs_changed();
        }
        let segment = self.segments.last().expect("it was written to");
        let append = Append {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            segment: segment.base_offset(),
            position,
            file: segment.file(),
            head,
            rest,
        };
        self.journal.append(&self.durability, append);
        Ok(())
    }

    /// A full disk is a passing trouble; anything else takes the directory offline.
    pub(super) fn append_error(&self, error: LogError) -> AppendError {
        match error {
            LogError::Io { source, .. } if is_shortage(&source) => {
                AppendError::Shortage { partition: self.name().clone(), reason: source.to_string() }
            }
            LogError::Io { source, .. } => {
                self.journal.fail("a segment cannot be written", &source);
                AppendError::Gone(Gone::Offline)
            }
            LogError::Gone(gone) => AppendError::Gone(gone),
            error => {
                tracing::error!(partition = %self.name(), %error, "the log cannot be continued");
                self.watermark().close(Gone::Offline);
                AppendError::Gone(Gone::Offline)
            }
        }
    }

    /// Makes sure that the last segment takes a batch of `batch_bytes`.
    fn make_room(&mut self, header: &BatchHeader, batch_bytes: usize, now_ms: i64) -> Result<(), LogError> {
        if !self.has_directory {
            self.make_directory()?;
        }
        match self.segments.last() {
            None => self.add_segment(now_ms),
            Some(active) if self.must_roll(active, header, batch_bytes, now_ms)? => self.roll(now_ms),
            Some(_) => Ok(()),
        }
    }

    fn must_roll(
        &self,
        active: &Segment,
        header: &BatchHeader,
        batch_bytes: usize,
        now_ms: i64,
    ) -> Result<bool, LogError> {
        if active.bytes() == 0 {
            return Ok(header.last_offset() - active.base_offset() > i64::from(i32::MAX));
        }
        let segment_bytes = u64::try_from(self.config.segment_bytes).unwrap_or(0);
        let index_bytes = usize::try_from(self.config.segment_index_bytes).unwrap_or(0);
        let is_full = u64::from(active.bytes()) + batch_bytes as u64 > segment_bytes
            || active.index_bytes() > index_bytes
            || header.last_offset() - active.base_offset() > i64::from(i32::MAX);
        if is_full {
            return Ok(true);
        }
        // By the records' own time if they have one, as in Kafka, so that a replay rolls alike.
        let age_ms = match active.first_timestamp()? {
            Some(first) if first >= 0 && header.max_timestamp >= 0 => header.max_timestamp - first,
            _ => now_ms - active.created_ms(),
        };
        let segment_ms = self.config.max_segment_ms();
        let jitter_ms = self.config.segment_jitter_ms.min(segment_ms);
        let jitter_ms = ((i128::from(jitter_ms) * i128::from(self.jitter)) >> 32) as i64;
        Ok(age_ms > segment_ms - jitter_ms)
    }

    /// Closes the last segment and opens a new one.
    pub(super) fn roll(&mut self, now_ms: i64) -> Result<(), LogError> {
        let end_offset = self.end_offset;
        let active = self.segments.last_mut().expect("only a log with a segment rolls");
        active.seal()?;
        self.journal.sealed(&self.durability, active.all_files(), end_offset);
        self.write_snapshot()?;
        self.add_segment(now_ms)
    }

    fn add_segment(&mut self, now_ms: i64) -> Result<(), LogError> {
        let interval = index_interval_bytes(&self.config);
        let segment = Segment::new(&self.files, self.end_offset, 0, interval, now_ms);
        // A file of this name can only be left from what a crash cut off.
        let file = segment.file().get_or_create().map_err(LogError::io(&segment.file().path()))?;
        file.set_len(0).map_err(LogError::io(&segment.file().path()))?;
        self.segments.push(segment);
        self.journal.note(&self.durability, self.durability.named(false));
        Ok(())
    }

    /// Begins a new segment, unless the last one is empty.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn begin_segment(&mut self, now_ms: i64) -> Result<(), LogError> {
        match self.segments.last() {
            Some(active) if active.bytes() > 0 => self.roll(now_ms),
            _ => Ok(()),
        }
    }

    /// Makes the partition's directory, before the first append.
    fn make_directory(&mut self) -> Result<(), LogError> {
        let directory = &self.files.directory;
        write_owner(self.disk(), directory, self.topic_id()).map_err(LogError::io(directory))?;
        let metadata = self.files.open_files.file(directory.join(PARTITION_METADATA));
        self.journal
            .note(&self.durability, self.durability.wrote(&metadata, self.durability.recovery_point()));
        self.journal.note(&self.durability, self.durability.named(true));
        self.has_directory = true;
        Ok(())
    }
}
