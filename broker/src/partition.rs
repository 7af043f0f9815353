//! One partition as its leader has it: the log, how far it is durable, and who leads in which epoch.
//!
//! The in-sync set is this broker alone, so the high watermark is the end of what is durable here; followers will lower
//! it to what they have. Nothing is read behind it. A log is read by many at a time and written by one; each call holds
//! the lock for as long as it takes and no longer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use anabranch_host::Host;
use anabranch_protocol::records::{BatchHeader, batches};
use anabranch_protocol::{ErrorCode, Uuid};
use bytes::{Bytes, BytesMut};
use parking_lot::RwLock;

use crate::config::TopicConfig;
use crate::internal_log::{Appended, InternalLog, InternalLogError};
use crate::log::{
    AbortedTransaction, AppendError, AppendInfo, AppendOrigin, Cleanable, CleanedLog, CleanerLimits,
    EndPosition, FoundRecord, Log, LogDirectory, LogError, OpenTransaction, Pace, ProducerState, ReadLimit,
    clean,
};
use crate::partition_name::PartitionName;
use crate::watermark::{Durable, Gone, Watermark};

/// Up to where a reader may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Up to the high watermark.
    ReadUncommitted,
    /// Up to the last stable offset.
    ReadCommitted,
}

impl Isolation {
    /// As requests say it.
    pub(crate) fn from_wire(isolation_level: i8) -> Isolation {
        if isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
    }
}

/// The offsets a reader is told with every answer, and where the log stood then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offsets {
    /// The end of what all in-sync replicas have on their disks.
    pub(crate) high_watermark: i64,
    /// The end of what is decided.
    pub(crate) last_stable_offset: i64,
    /// The first there is.
    pub(crate) log_start_offset: i64,
    /// Where the log ended.
    pub(crate) log_end: EndPosition,
}

impl Offsets {
    /// Up to where a reader is given records.
    pub(crate) fn readable_to(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark,
            Isolation::ReadCommitted => self.last_stable_offset,
        }
    }
}

/// What a reader gets.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadBatches {
    /// Whole batches.
    pub(crate) records: Bytes,
    /// The aborted transactions that have records among them, for readers of committed records.
    pub(crate) aborted: Vec<AbortedTransaction>,
}

/// A partition that this broker leads.
pub(crate) struct Partition {
    host: Host,
    name: PartitionName,
    leader_epoch: AtomicI32,
    watermark: Arc<Watermark>,
    directory: LogDirectory,
    /// None if it could not be read at the start: then the partition is offline, and its files are as they were.
    log: Option<RwLock<Log>>,
}

impl Partition {
    pub(crate) fn new(host: &Host, directory: &LogDirectory, log: Log, leader_epoch: i32) -> Arc<Partition> {
        Arc::new(Partition {
            host: host.clone(),
            name: log.name().clone(),
            leader_epoch: AtomicI32::new(leader_epoch),
            watermark: log.watermark().clone(),
            directory: directory.clone(),
            log: Some(RwLock::new(log)),
        })
    }

    /// A partition whose log is damaged.
    pub(crate) fn offline(
        host: &Host,
        directory: &LogDirectory,
        name: PartitionName,
        leader_epoch: i32,
    ) -> Arc<Partition> {
        let watermark = Watermark::new(0);
        watermark.close(Gone::Offline);
        Arc::new(Partition {
            host: host.clone(),
            name,
            leader_epoch: AtomicI32::new(leader_epoch),
            watermark,
            directory: directory.clone(),
            log: None,
        })
    }

    fn log(&self) -> Result<&RwLock<Log>, Gone> {
        self.log.as_ref().ok_or(Gone::Offline)
    }

    /// Whether it can be read and written.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self) -> Result<(), Gone> {
        self.watermark.gone().map_or(Ok(()), Err)
    }

    /// Topic and number.
    pub(crate) fn name(&self) -> &PartitionName {
        &self.name
    }

    /// The epoch in which this broker leads.
    pub(crate) fn leader_epoch(&self) -> i32 {
        self.leader_epoch.load(Ordering::Acquire)
    }

    /// Compares the epoch a client knows, -1 for none, with ours.
    ///
    /// # Errors
    /// If the client's is older or newer.
    pub(crate) fn check_leader_epoch(&self, known: i32) -> Result<(), ErrorCode> {
        match self.leader_epoch() {
            ours if known < 0 || known == ours => Ok(()),
            ours if known < ours => Err(ErrorCode::FENCED_LEADER_EPOCH),
            _ => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        }
    }

    /// What is durable, and who waits for it.
    pub(crate) fn watermark(&self) -> &Arc<Watermark> {
        &self.watermark
    }

    /// The end of what may be read.
    pub(crate) fn high_watermark(&self) -> i64 {
        self.watermark.value()
    }

    /// The end of what a reader of this kind may read.
    pub(crate) fn end_for(&self, isolation: Isolation) -> i64 {
        let high_watermark = self.high_watermark();
        match isolation {
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => {
                self.log().map_or(high_watermark, |log| log.read().last_stable_offset(high_watermark))
            }
        }
    }

    /// The first offset there is.
    pub(crate) fn log_start_offset(&self) -> i64 {
        self.log().map_or(-1, |log| log.read().log_start_offset())
    }

    /// Bytes of records.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.log().map_or(0, |log| log.read().size_bytes())
    }

    /// Bytes of records in segments that end before `offset`.
    pub(crate) fn bytes_before(&self, offset: i64) -> u64 {
        self.log().map_or(0, |log| log.read().bytes_before(offset))
    }

    /// Where the log ends; none if it is offline.
    pub(crate) fn log_end_position(&self) -> Option<EndPosition> {
        self.log().ok().map(|log| log.read().end_position())
    }

    /// The offset that the next record gets.
    pub(crate) fn log_end_offset(&self) -> i64 {
        self.log().map_or(-1, |log| log.read().log_end_offset())
    }

    /// Checks and appends a producer's batch.
    ///
    /// # Errors
    /// Why it is refused; nothing was appended then.
    pub(crate) fn append(
        &self,
        records: &Bytes,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<(AppendInfo, Durable), AppendError> {
        let info = self.log()?.write().append(records, self.leader_epoch(), origin, now_ms)?;
        Ok((info, self.watermark.reached(info.last_offset)))
    }

    /// Resolves when all that was appended up to now is durable.
    pub(crate) fn settled(&self) -> Durable {
        self.log().map_or_else(|_| self.watermark.reached(i64::MAX - 1), |log| log.read().settled())
    }

    /// Whether the coordinator must be asked about a batch of a transaction: it is not known to know that this producer has one open
    /// here, in this epoch.
    ///
    /// # Errors
    /// If the epoch has passed, or the partition is offline.
    pub(crate) fn begin_verification(&self, header: &BatchHeader, now_ms: i64) -> Result<bool, AppendError> {
        let log = self.log()?;
        if log.read().has_open_transaction(header.producer_id, header.producer_epoch) {
            return Ok(false);
        }
        log.write().begin_verification(header, now_ms)?;
        Ok(true)
    }

    /// The transactions that no marker has ended yet.
    pub(crate) fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.log().map_or_else(|_| Vec::new(), |log| log.read().open_transactions())
    }

    /// The producers that have appended lately, by rising id.
    pub(crate) fn producers(&self) -> Vec<(i64, ProducerState)> {
        let Ok(log) = self.log() else { return Vec::new() };
        log.read().producers().into_iter().map(|(id, state)| (id, state.clone())).collect()
    }

    /// Whole batches from the one that holds `offset`, within `limit` and up to the end for this kind of reader; what the
    /// reader is told besides.
    ///
    /// # Errors
    /// If the offset is out of range, or the log cannot be read.
    pub(crate) fn read(
        &self,
        offset: i64,
        limit: ReadLimit,
        isolation: Isolation,
    ) -> (Offsets, Result<ReadBatches, LogError>) {
        let Ok(log) = self.log() else {
            let log_end = EndPosition { offset: -1, base_offset: -1, bytes: 0 };
            let nothing =
                Offsets { high_watermark: -1, last_stable_offset: -1, log_start_offset: -1, log_end };
            return (nothing, Err(Gone::Offline.into()));
        };
        let log = log.read();
        let high_watermark = self.high_watermark();
        let last_stable_offset = log.last_stable_offset(high_watermark);
        let (log_start_offset, log_end) = (log.log_start_offset(), log.end_position());
        let offsets = Offsets { high_watermark, last_stable_offset, log_start_offset, log_end };
        let bound = offsets.readable_to(isolation);
        let found = self.check().map_err(LogError::from).and_then(|()| log.read_within(offset, limit, bound));
        let found = found.and_then(|records| {
            if records.is_empty() {
                return Ok(ReadBatches::default());
            }
            let aborted = match isolation {
                Isolation::ReadUncommitted => Vec::new(),
                Isolation::ReadCommitted => log.aborted_transactions(offset, end_of(&records))?,
            };
            Ok(ReadBatches { records, aborted })
        });
        (offsets, found)
    }

    fn append_of_coordinator(
        &self,
        batch: BytesMut,
        origin: AppendOrigin,
    ) -> Result<Appended, InternalLogError> {
        let now_ms = self.host.wall_clock_ms();
        let appended = self.log()?.write().append(&batch.freeze(), self.leader_epoch(), origin, now_ms);
        match appended {
            Ok(AppendInfo { base_offset, last_offset, .. }) => {
                Ok(Appended { base_offset, last_offset, durable: self.watermark.reached(last_offset) })
            }
            Err(AppendError::Gone(gone)) => Err(gone.into()),
            Err(AppendError::TooLarge { batch_bytes, max_bytes }) => {
                Err(InternalLogError::TooLarge { batch_bytes, limit_bytes: max_bytes })
            }
            Err(
                error @ (AppendError::InvalidProducerEpoch { .. }
                | AppendError::TransactionCoordinatorFenced { .. }),
            ) => Err(InternalLogError::Fenced(error.error_code())),
            Err(error) => Err(InternalLogError::Refused(error.to_string())),
        }
    }

    /// The first record at or after `timestamp`, below `bound`.
    pub(crate) fn find_timestamp(&self, timestamp: i64, bound: i64) -> Result<Option<FoundRecord>, LogError> {
        self.log()?.read().find_timestamp(timestamp, bound)
    }

    /// The first record of those with the largest timestamp, below `bound`.
    pub(crate) fn find_largest_timestamp(&self, bound: i64) -> Result<Option<FoundRecord>, LogError> {
        self.log()?.read().find_largest_timestamp(bound)
    }

    /// The leader epoch of the record at `offset`, or -1.
    pub(crate) fn epoch_of(&self, offset: i64) -> i32 {
        self.log().ok().and_then(|log| log.read().epoch_of(offset)).unwrap_or(-1)
    }

    /// The largest epoch that is not above `epoch`, and where it ends.
    pub(crate) fn end_of_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        if epoch == self.leader_epoch() {
            return Some((epoch, self.log_end_offset()));
        }
        self.log().ok()?.read().end_offset_of_epoch(epoch)
    }

    /// Moves the start up to `offset`. The new start may be told when the future resolves.
    ///
    /// # Errors
    /// If the offset is behind the high watermark.
    pub(crate) fn delete_records(&self, offset: i64) -> Result<(i64, Durable), LogError> {
        let mut log = self.log()?.write();
        log.advance_log_start(offset, self.high_watermark())?;
        Ok((log.log_start_offset(), self.directory.settled()))
    }

    /// Begins a new segment at the end of the log.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub(crate) fn begin_segment(&self) -> Result<(), LogError> {
        self.log()?.write().begin_segment(self.host.wall_clock_ms())
    }

    /// Takes a new configuration, from the next append on.
    pub(crate) fn set_config(&self, config: Arc<TopicConfig>) {
        if let Ok(log) = self.log() {
            log.write().set_config(config);
        }
    }

    /// Deletes old segments and forgets idle producers.
    ///
    /// # Errors
    /// If a file cannot be renamed.
    pub(crate) fn tidy(&self, now_ms: i64, producer_id_expiration_ms: i64) -> Result<(), LogError> {
        self.check()?;
        let mut log = self.log()?.write();
        log.expire_producers(now_ms, producer_id_expiration_ms);
        let removed = log.delete_old_segments(now_ms, self.high_watermark())?;
        let delay = Duration::from_millis(u64::try_from(log.config().file_delete_delay_ms).unwrap_or(0));
        drop(log);
        self.directory.remove(removed, delay);
        Ok(())
    }

    /// The id of its topic; none if it is offline.
    pub(crate) fn topic_id(&self) -> Option<Uuid> {
        self.log().ok().map(|log| log.read().topic_id())
    }

    /// What compaction may clean, and the dirty ratio at which it is to; `clean_end` is where the last round ended. None if
    /// the partition is not compacted or not there.
    ///
    /// # Errors
    /// If a segment cannot be read.
    pub(crate) fn cleanable(
        &self,
        clean_end: Option<i64>,
        now_ms: i64,
    ) -> Result<Option<(Cleanable, f64)>, LogError> {
        let (Ok(log), Ok(())) = (self.log(), self.check()) else { return Ok(None) };
        let log = log.read();
        if !log.config().cleanup_compact {
            return Ok(None);
        }
        let least_ratio = log.config().min_cleanable_dirty_ratio;
        let cleanable = log.cleanable(&self.directory, clean_end, self.high_watermark(), now_ms)?;
        Ok(Some((cleanable, least_ratio)))
    }

    /// Compacts it as far as `cleanable` says; none if that was given up, and nothing is lost.
    ///
    /// # Errors
    /// If the disk fails or a segment is damaged.
    pub(crate) async fn clean(
        &self,
        cleanable: &Cleanable,
        limits: &CleanerLimits,
        pace: &mut Pace,
        now_ms: i64,
    ) -> Result<Option<CleanedLog>, LogError> {
        clean(self.log()?, &self.directory, cleanable, limits, pace, now_ms).await
    }

    /// Deletes it: whoever waits learns so, and its files go.
    ///
    /// # Errors
    /// If its directory cannot be renamed.
    pub(crate) fn delete(&self) -> Result<(), LogError> {
        self.watermark.close(Gone::Deleted);
        match &self.log {
            Some(log) => self.directory.delete(&log.read()).map(drop),
            None => self.directory.delete_offline(&self.name),
        }
    }

    /// Writes what is only in memory, before a clean stop.
    ///
    /// # Errors
    /// If a file cannot be written; the next start then recovers the log.
    pub(crate) fn close(&self) -> Result<(), LogError> {
        match &self.log {
            Some(log) if self.check().is_ok() => log.write().close(),
            _ => Ok(()),
        }
    }
}

/// The offset after whole batches.
fn end_of(records: &Bytes) -> i64 {
    batches(records).flatten().last().map_or(-1, |batch| batch.header.next_offset())
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a coordinator sees of it.
impl InternalLog for Partition {
    fn append(&self, batch: BytesMut) -> Result<Appended, InternalLogError> {
        self.append_of_coordinator(batch, AppendOrigin::Coordinator)
    }

    fn append_marker(&self, marker: BytesMut, bumps_epoch: bool) -> Result<Appended, InternalLogError> {
        let origin = if bumps_epoch { AppendOrigin::EpochBump } else { AppendOrigin::Coordinator };
        self.append_of_coordinator(marker, origin)
    }

    fn check_producer(&self, producer_id: i64, producer_epoch: i16) -> Result<(), ErrorCode> {
        let epoch = self.log().ok().and_then(|log| log.read().producer_epoch(producer_id));
        match epoch {
            Some(epoch) if epoch > producer_epoch => Err(ErrorCode::INVALID_PRODUCER_EPOCH),
            _ => Ok(()),
        }
    }

    fn read(&self, offset: i64, max_bytes: usize) -> Result<Bytes, InternalLogError> {
        self.check()?;
        self.log()?
            .read()
            .read(offset, max_bytes, self.high_watermark())
            .map_err(|error| InternalLogError::Corrupt(error.to_string()))
    }

    fn max_batch_bytes(&self) -> usize {
        let Ok(log) = self.log() else { return usize::MAX };
        let log = log.read();
        let config = log.config();
        usize::try_from(config.max_message_bytes.min(config.segment_bytes)).unwrap_or(0)
    }

    fn start_offset(&self) -> i64 {
        self.log_start_offset()
    }

    fn end_offset(&self) -> i64 {
        self.log_end_offset()
    }

    fn settled(&self) -> Durable {
        Partition::settled(self)
    }
}
