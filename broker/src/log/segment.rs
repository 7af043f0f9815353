//! One segment: a file of batches and its three indexes.
//!
//! The files open when they are needed; a closed segment that nobody reads costs a few words. An index that is missing,
//! torn or not plausible is rebuilt from the batches.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anabranch_protocol::records::{BATCH_HEADER_BYTES, BatchHeader, NO_TIMESTAMP};
use parking_lot::Mutex;

use super::error::LogError;
use super::names::{
    INDEX_SUFFIX, LOG_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_CHECKSUM_SUFFIX, TRANSACTION_INDEX_SUFFIX,
    offset_file_name,
};
use super::offset_index::{self, OffsetIndex, OffsetPosition};
use super::scan::{Scan, ScanError, ScannedBatch};
use super::time_index::{self, TimeIndex, TimestampOffset};
use super::transaction_index::AbortedTransactions;
use crate::open_files::{LazyFile, OpenFiles};

/// The segments of one log share these.
#[derive(Clone, Debug)]
pub(super) struct SegmentFiles {
    pub(super) directory: PathBuf,
    pub(super) open_files: Arc<OpenFiles>,
    /// What comes behind the names of files that are not part of the log yet.
    beside: &'static str,
}

impl SegmentFiles {
    pub(super) fn new(directory: PathBuf, open_files: Arc<OpenFiles>) -> SegmentFiles {
        SegmentFiles { directory, open_files, beside: "" }
    }

    /// The same with `suffix` behind all names.
    pub(super) fn beside(&self, suffix: &'static str) -> SegmentFiles {
        SegmentFiles { beside: suffix, ..self.clone() }
    }

    pub(super) fn file(&self, offset: i64, suffix: &str) -> LazyFile {
        let mut name = offset_file_name(offset, suffix);
        name.push_str(self.beside);
        self.open_files.file(self.directory.join(name))
    }
}

/// A segment.
#[derive(Debug)]
pub(super) struct Segment {
    base_offset: i64,
    file: LazyFile,
    bytes: u32,
    index_interval_bytes: u32,
    indexes: OnceLock<Indexes>,
    /// What stands for `indexes` once these were found to be damaged.
    anew: OnceLock<Indexes>,
    indexes_loading: Mutex<()>,
    /// What the indexes are made anew from.
    index_file: LazyFile,
    time_index_file: LazyFile,
    transactions: AbortedTransactions,
    /// The first batch's largest timestamp, which `segment.ms` counts from.
    first_timestamp: OnceLock<i64>,
    created_ms: i64,
}

/// The indexes of a segment, and what is known of its timestamps.
#[derive(Debug)]
struct Indexes {
    offset: OffsetIndex,
    time: TimeIndex,
    /// Batch bytes since the last entry of the offset index.
    bytes_since_entry: u32,
    largest: TimestampOffset,
    /// Where a batch lies whose checksum does not match. It and all behind it get no entries, so that the next start comes to
    /// it as well, and what is known of the times is not all.
    damaged_at: Option<u32>,
}

impl Segment {
    /// A segment of `bytes` bytes that lie in its file; a new one has none, and no file either before the first append.
    pub(super) fn new(
        files: &SegmentFiles,
        base_offset: i64,
        bytes: u32,
        index_interval_bytes: u32,
        created_ms: i64,
    ) -> Segment {
        let segment = Segment {
            base_offset,
            file: files.file(base_offset, LOG_SUFFIX),
            bytes,
            index_interval_bytes,
            indexes: OnceLock::new(),
            anew: OnceLock::new(),
            indexes_loading: Mutex::new(()),
            index_file: files.file(base_offset, INDEX_SUFFIX),
            time_index_file: files.file(base_offset, TIME_INDEX_SUFFIX),
            transactions: AbortedTransactions::new(
                base_offset,
                files.file(base_offset, TRANSACTION_INDEX_SUFFIX),
                files.file(base_offset, TRANSACTION_CHECKSUM_SUFFIX),
                bytes > 0,
            ),
            first_timestamp: OnceLock::new(),
            created_ms,
        };
        if bytes == 0 {
            // Nothing to load, whatever files lie there.
            let _ = segment.indexes.set(segment.empty_indexes());
        }
        segment
    }

    pub(super) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    pub(super) fn created_ms(&self) -> i64 {
        self.created_ms
    }

    pub(super) fn file(&self) -> &LazyFile {
        &self.file
    }

    /// The file of batches and the indexes.
    pub(super) fn all_files(&self) -> [&LazyFile; 5] {
        let [transactions, checksum] = self.transactions.files();
        [&self.file, &self.index_file, &self.time_index_file, transactions, checksum]
    }

    /// Bytes that the larger index takes, once it is loaded.
    pub(super) fn index_bytes(&self) -> usize {
        self.indexes.get().map_or(0, |indexes| {
            // Room for one entry more: whether there is, is the question.
            let offset = indexes.offset.bytes() + offset_index::ENTRY_BYTES;
            offset.max(indexes.time.bytes() + time_index::ENTRY_BYTES)
        })
    }

    /// The largest timestamp of the first batch.
    pub(super) fn first_timestamp(&self) -> Result<Option<i64>, LogError> {
        if let Some(timestamp) = self.first_timestamp.get() {
            return Ok(Some(*timestamp));
        }
        let first = self.scan(0)?.next().map_err(|error| self.scan_error(error))?;
        Ok(first.map(|batch| *self.first_timestamp.get_or_init(|| batch.header.max_timestamp)))
    }

    /// The largest timestamp and the last offset of the first batch that has it.
    pub(super) fn largest_timestamp(&self) -> Result<TimestampOffset, LogError> {
        let indexes = self.indexes()?;
        self.check_times(indexes)?;
        Ok(indexes.largest)
    }

    /// A search by time that trusted a damaged batch would pass by what it looks for.
    fn check_times(&self, indexes: &Indexes) -> Result<(), LogError> {
        let damaged = |position| self.corrupt(position, "the checksum does not match".to_string());
        indexes.damaged_at.map_or(Ok(()), |position| Err(damaged(position)))
    }

    /// Appends a batch, given in two pieces so that what the leader sets needs no copy of the rest, and returns where it
    /// lies.
    pub(super) fn append(
        &mut self,
        head: &[u8],
        rest: &[u8],
        header: &BatchHeader,
    ) -> Result<u32, SegmentAppendError> {
        let position = self.bytes;
        let file = self.file.get_or_create().map_err(SegmentAppendError::Clean)?;
        let mut slices = [io::IoSlice::new(head), io::IoSlice::new(rest)];
        if let Err(error) = file.write_all_vectored_at(&mut slices, u64::from(position)) {
            // Half a batch must not stay: a later and shorter one would leave its end behind.
            return Err(match file.set_len(u64::from(position)) {
                Ok(()) => SegmentAppendError::Clean(error),
                Err(_) => SegmentAppendError::Poisoned(error),
            });
        }
        let length = (head.len() + rest.len()) as u32;
        self.bytes = position + length;
        // An index that cannot be written is no reason to refuse the batch: it is loaded or built anew.
        if self.note(position, length, header).is_err() {
            (self.indexes, self.anew) = (OnceLock::new(), OnceLock::new());
        }
        Ok(position)
    }

    /// Enters a batch into the indexes.
    fn note(&mut self, position: u32, length: u32, header: &BatchHeader) -> Result<(), LogError> {
        self.first_timestamp.get_or_init(|| header.max_timestamp);
        let interval = self.index_interval_bytes;
        let noted = self.indexes_mut()?.note(position, length, header, interval);
        noted.map_err(LogError::io(&self.index_file.path()))
    }

    /// Enters a batch that recovery found in the file behind what was known.
    pub(super) fn adopt(&mut self, batch: ScannedBatch) -> Result<(), LogError> {
        let length = batch.end() - batch.position;
        self.bytes = batch.end();
        self.note(batch.position, length, &batch.header)
    }

    /// Closes the segment for appends: all index entries go to their files, with the largest timestamp as the last.
    pub(super) fn seal(&mut self) -> Result<(), LogError> {
        let path = self.index_file.path();
        let indexes = self.indexes_mut()?;
        let largest = indexes.largest;
        indexes.time.maybe_push(largest).and_then(|()| indexes.flush()).map_err(LogError::io(&path))?;
        self.transactions.flush()
    }

    /// Writes the index entries that are in memory.
    pub(super) fn flush_indexes(&mut self) -> Result<(), LogError> {
        let path = self.index_file.path();
        if let Some(indexes) = self.indexes.get_mut() {
            indexes.flush().map_err(LogError::io(&path))?;
        }
        self.transactions.flush()
    }

    /// The aborted transactions whose markers lie here.
    pub(super) fn transactions(&self) -> &AbortedTransactions {
        &self.transactions
    }

    /// The same, to be changed.
    pub(super) fn transactions_mut(&mut self) -> &mut AbortedTransactions {
        &mut self.transactions
    }

    /// Where the batches before `offset` end: the place in the file, and the offset after the last of them.
    pub(super) fn end_before(&self, offset: i64) -> Result<(u32, i64), LogError> {
        let position = self.locate(offset - 1)?;
        let mut scan = self.scan(position)?;
        let (mut end, mut end_offset) = (position, self.base_offset);
        while let Some(batch) = scan.next().map_err(|error| self.scan_error(error))? {
            if batch.header.last_offset() >= offset {
                break;
            }
            (end, end_offset) = (batch.end(), batch.header.next_offset());
        }
        Ok((end, end_offset))
    }

    /// Cuts the file to `end` bytes, and makes the indexes anew: the largest timestamp may be gone.
    pub(super) fn cut(&mut self, end: u32) -> Result<(), LogError> {
        self.file
            .get()
            .and_then(|file| file.set_len(u64::from(end)))
            .map_err(LogError::io(&self.file.path()))?;
        self.bytes = end;
        self.first_timestamp = OnceLock::new();
        self.anew = OnceLock::new();
        self.indexes = OnceLock::from(self.rebuild_indexes()?);
        Ok(())
    }

    /// A walk over the batches from the one at `position` on.
    pub(super) fn scan(&self, position: u32) -> Result<Scan, LogError> {
        if self.bytes == 0 {
            // There may be no file.
            let file = self.file.get_or_create().map_err(LogError::io(&self.file.path()))?;
            return Ok(Scan::new(file, 0, 0));
        }
        let file = self.file.get().map_err(LogError::io(&self.file.path()))?;
        Ok(Scan::new(file, position, self.bytes))
    }

    /// A walk from the batch that holds `offset`, or one before it.
    pub(super) fn scan_from_offset(&self, offset: i64) -> Result<Scan, LogError> {
        self.scan(self.locate(offset)?)
    }

    /// Prepares a scan after a crash: keeps of the indexes what can be trusted, and returns a walk that begins there, at
    /// or before the batch that holds `recovery_point`. Each batch it comes to is to be given to [`Segment::adopt`].
    pub(super) fn begin_recovery(&mut self, recovery_point: i64) -> Result<Scan, LogError> {
        let end = self.bytes;
        let (entry, indexes) =
            self.trusted_indexes(recovery_point).unwrap_or_else(|_| (None, self.empty_indexes()));
        let start = entry.map_or(0, |entry| entry.position);
        let file = self.file.get_or_create().map_err(LogError::io(&self.file.path()))?;
        let mut scan = Scan::new(file.clone(), start, end);
        // What the index leads to must be a batch, or the index is not of this file.
        let is_there = |entry: OffsetPosition| matches!(scan.next_checked(), Ok(Some(batch)) if batch.header.last_offset() == entry.offset);
        if !entry.is_none_or(is_there) {
            self.indexes = OnceLock::from(self.empty_indexes());
            self.bytes = 0;
            return Ok(Scan::new(file, 0, end));
        }
        self.indexes = OnceLock::from(indexes);
        self.bytes = start;
        Ok(Scan::new(file, start, end))
    }

    /// The indexes cut back to a batch up to which both are complete and which does not lie behind `recovery_point`, and
    /// where that batch lies. The files were not synced, so their ends may be missing; what is there rises, or it would
    /// not load.
    fn trusted_indexes(&self, recovery_point: i64) -> io::Result<(Option<OffsetPosition>, Indexes)> {
        let mut offset = OffsetIndex::load(self.base_offset, self.index_file.clone(), self.bytes)?;
        let mut time = TimeIndex::load(self.base_offset, self.time_index_file.clone())?;
        // Behind the last entry of the time index there may be later timestamps that it lacks.
        let complete_up_to = time.last()?.map_or(self.base_offset, |last| last.offset);
        let entry = offset.floor(recovery_point.min(complete_up_to))?;
        offset.truncate(entry.map_or(0, |entry| entry.position).saturating_add(1))?;
        let last = offset.last()?.map_or(self.base_offset - 1, |entry| entry.offset);
        time.truncate(last + 1)?;
        let none = TimestampOffset { timestamp: NO_TIMESTAMP, offset: self.base_offset };
        let largest = time.last()?.unwrap_or(none);
        Ok((entry, Indexes { offset, time, bytes_since_entry: 0, largest, damaged_at: None }))
    }

    pub(super) fn corrupt(&self, position: u32, reason: String) -> LogError {
        LogError::Corrupt { path: self.file.path(), position: u64::from(position), reason }
    }

    pub(super) fn scan_error(&self, error: ScanError) -> LogError {
        match error {
            ScanError::Io(source) => LogError::Io { path: self.file.path(), source },
            ScanError::NoBatch { position, reason } => self.corrupt(position, reason),
        }
    }

    /// Where to begin the search for `offset`: at or before the batch that holds it. An entry that does not lead to the
    /// batch it names is no entry of ours: then the indexes are made anew.
    pub(super) fn locate(&self, offset: i64) -> Result<u32, LogError> {
        let io = |error| LogError::Io { path: self.index_file.path(), source: error };
        let Some(entry) = self.indexes()?.offset.floor(offset).map_err(io)? else { return Ok(0) };
        let mut head = [0; BATCH_HEADER_BYTES];
        let read = self.file.get().and_then(|file| file.read_at(&mut head, u64::from(entry.position)));
        let read = read.map_err(LogError::io(&self.file.path()))?;
        if BatchHeader::parse(&head[..read]).is_ok_and(|header| header.last_offset() == entry.offset) {
            return Ok(entry.position);
        }
        let entry = self.distrust_indexes()?.offset.floor(offset).map_err(io)?;
        Ok(entry.map_or(0, |entry| entry.position))
    }

    /// The offset behind which to look for the first record at or after `timestamp`.
    pub(super) fn locate_timestamp(&self, timestamp: i64) -> Result<Option<i64>, LogError> {
        Ok(self.noted_time(|index| index.below(timestamp))?.map(|entry| entry.offset))
    }

    /// The largest timestamp of the batches up to the offset told, which lies before `bound`; as near to it as is known
    /// without a look at the batches.
    pub(super) fn largest_noted_before(&self, bound: i64) -> Result<Option<TimestampOffset>, LogError> {
        self.noted_time(|index| index.before(bound))
    }

    /// What `find` finds in the time index. An entry that is not true of the batches is none of ours.
    fn noted_time(
        &self,
        find: impl Fn(&TimeIndex) -> io::Result<Option<TimestampOffset>>,
    ) -> Result<Option<TimestampOffset>, LogError> {
        let io = |error| LogError::Io { path: self.time_index_file.path(), source: error };
        let Some(entry) = find(&self.indexes()?.time).map_err(io)? else { return Ok(None) };
        let scan = self.scan(self.locate(entry.offset)?)?;
        if is_true_of(entry, scan) {
            return Ok(Some(entry));
        }
        let indexes = self.distrust_indexes()?;
        self.check_times(indexes)?;
        find(&indexes.time).map_err(io)
    }

    /// The indexes made anew, and used from now on.
    fn distrust_indexes(&self) -> Result<&Indexes, LogError> {
        let _loading = self.indexes_loading.lock();
        if let Some(indexes) = self.anew.get() {
            return Ok(indexes);
        }
        tracing::warn!(index = %self.index_file.path().display(), "an index is damaged and made anew");
        let indexes = self.rebuild_indexes()?;
        Ok(self.anew.get_or_init(|| indexes))
    }

    /// Whether the indexes are plausible is settled at the first use, whether an entry is right when it is used.
    fn indexes(&self) -> Result<&Indexes, LogError> {
        if let Some(indexes) = self.anew.get().or_else(|| self.indexes.get()) {
            return Ok(indexes);
        }
        let _loading = self.indexes_loading.lock();
        if let Some(indexes) = self.indexes.get() {
            return Ok(indexes);
        }
        let indexes = match self.load_indexes() {
            Ok(indexes) => indexes,
            Err(_) => self.rebuild_indexes()?,
        };
        Ok(self.indexes.get_or_init(|| indexes))
    }

    fn indexes_mut(&mut self) -> Result<&mut Indexes, LogError> {
        self.indexes()?;
        if let Some(anew) = self.anew.take() {
            self.indexes = OnceLock::from(anew);
        }
        Ok(self.indexes.get_mut().expect("it was loaded in the line before"))
    }

    fn empty_indexes(&self) -> Indexes {
        Indexes {
            offset: OffsetIndex::empty(self.base_offset, self.index_file.clone()),
            time: TimeIndex::empty(self.base_offset, self.time_index_file.clone()),
            bytes_since_entry: 0,
            largest: TimestampOffset { timestamp: NO_TIMESTAMP, offset: self.base_offset },
            damaged_at: None,
        }
    }

    /// The indexes from their files, if both can be right. They were synced before the recovery point passed them.
    fn load_indexes(&self) -> io::Result<Indexes> {
        let offset = OffsetIndex::load(self.base_offset, self.index_file.clone(), self.bytes)?;
        let time = TimeIndex::load(self.base_offset, self.time_index_file.clone())?;
        let none = TimestampOffset { timestamp: NO_TIMESTAMP, offset: self.base_offset };
        let largest = time.last()?.unwrap_or(none);
        if let Some(last) = time.last()? {
            let position = offset.floor(last.offset)?.map_or(0, |entry| entry.position);
            if !is_true_of(last, Scan::new(self.file.get()?, position, self.bytes)) {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        let last_entry = offset.last()?;
        let mut indexes = Indexes { offset, time, bytes_since_entry: 0, largest, damaged_at: None };
        // The offset index must lead to a batch that ends where it says; what follows has no entries yet.
        let mut scan = Scan::new(self.file.get()?, last_entry.map_or(0, |last| last.position), self.bytes);
        let mut is_first = true;
        while let Some(batch) = scan.next().map_err(|_| io::ErrorKind::InvalidData)? {
            let expected = last_entry.filter(|_| std::mem::take(&mut is_first));
            if expected.is_some_and(|last| last.offset != batch.header.last_offset()) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            indexes.enter(batch, &mut scan, self.index_interval_bytes)?;
        }
        Ok(indexes)
    }

    /// Makes the indexes anew from the batches.
    fn rebuild_indexes(&self) -> Result<Indexes, LogError> {
        let mut indexes = self.empty_indexes();
        let io = |error| LogError::Io { path: self.index_file.path(), source: error };
        let mut scan = self.scan(0)?;
        let mut end_offset = self.base_offset;
        while let Some(batch) = scan.next().map_err(|error| self.scan_error(error))? {
            // What does not rise, or is too far away for an index, cannot be searched.
            let relative = batch.header.last_offset().wrapping_sub(self.base_offset);
            if batch.header.base_offset < end_offset || i32::try_from(relative).is_err() {
                let reason = format!("offset {} comes after {}", batch.header.base_offset, end_offset - 1);
                return Err(self.corrupt(batch.position, reason));
            }
            end_offset = batch.header.next_offset();
            indexes.enter(batch, &mut scan, self.index_interval_bytes).map_err(io)?;
        }
        let largest = indexes.largest;
        indexes.time.maybe_push(largest).and_then(|()| indexes.flush()).map_err(io)?;
        Ok(indexes)
    }

    /// Renames the segment's files, so that they are gone from the log; returns the new names.
    pub(super) fn rename_files(&self, suffix: &str) -> io::Result<Vec<PathBuf>> {
        let mut renamed = Vec::new();
        for file in self.all_files() {
            let mut to = file.path().into_os_string();
            to.push(suffix);
            match file.rename(Path::new(&to)) {
                Ok(()) => renamed.push(PathBuf::from(to)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(renamed)
    }

    /// Gives the segment's files other names: with `to` at their ends instead of `from`. The batches come last: where they
    /// are called so, all are.
    pub(super) fn change_suffix(&self, from: &str, to: &str) -> io::Result<()> {
        for file in self.all_files().into_iter().rev() {
            let path = file.path();
            let Some(stem) = path.to_str().and_then(|path| path.strip_suffix(from)) else { continue };
            match file.rename(Path::new(&format!("{stem}{to}"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn set_index_interval_bytes(&mut self, bytes: u32) {
        self.index_interval_bytes = bytes;
    }
}

/// Whether the walk comes to a batch that ends with the entry's offset and has its timestamp.
fn is_true_of(entry: TimestampOffset, mut scan: Scan) -> bool {
    while let Ok(Some(batch)) = scan.next() {
        if batch.header.last_offset() >= entry.offset {
            return batch.header.last_offset() == entry.offset
                && batch.header.max_timestamp == entry.timestamp;
        }
    }
    false
}

impl Indexes {
    /// Enters a batch that `scan` has come to in the file, if it is whole.
    fn enter(&mut self, batch: ScannedBatch, scan: &mut Scan, interval: u32) -> io::Result<()> {
        match scan.check(batch) {
            Err(ScanError::Io(error)) => return Err(error),
            Err(ScanError::NoBatch { position, .. }) => self.damaged_at = self.damaged_at.or(Some(position)),
            Ok(()) => {}
        }
        self.note(batch.position, batch.end() - batch.position, &batch.header, interval)
    }

    /// Enters one batch, unless it lies behind damage. An entry comes when more than `interval` bytes of batches lie since the last, as in Kafka.
    fn note(&mut self, position: u32, length: u32, header: &BatchHeader, interval: u32) -> io::Result<()> {
        if self.damaged_at.is_some() {
            return Ok(());
        }
        let last_offset = header.last_offset();
        // What compaction left without records has timestamps of records that are gone.
        if header.record_count > 0 && header.max_timestamp > self.largest.timestamp {
            self.largest = TimestampOffset { timestamp: header.max_timestamp, offset: last_offset };
        }
        if self.bytes_since_entry > interval {
            self.offset.push(last_offset, position)?;
            self.time.maybe_push(self.largest)?;
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry = self.bytes_since_entry.saturating_add(length);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.offset.flush()?;
        self.time.flush()
    }
}

/// Why a batch was not written.
#[derive(Debug)]
pub(super) enum SegmentAppendError {
    /// The file is as it was.
    Clean(io::Error),
    /// Nobody knows what the file holds behind its end.
    Poisoned(io::Error),
}
