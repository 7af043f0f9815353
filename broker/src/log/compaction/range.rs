//! What of a log may be cleaned, and how much it needs to be.
//!
//! The clean part ends where the last round ended. Behind it, a closed segment may be cleaned if every transaction in it
//! is decided, none of its records is younger than `min.compaction.lag.ms`, and a crash will not want to write to it any
//! more: the journal is only replayed from the recovery point on that the checkpoint on the disk holds.

use super::super::segment::Segment;
use super::super::{Log, LogDirectory, LogError};
use super::filter::LastOfProducer;
use super::source::Source;
use anabranch_host::HashMap;

/// What of a log may be cleaned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cleanable {
    /// The first offset that is not clean.
    pub first_dirty: i64,
    /// The first offset that may not be cleaned yet.
    pub end: i64,
    /// Bytes before `first_dirty`.
    pub clean_bytes: u64,
    /// Bytes from there on that may be cleaned.
    pub dirty_bytes: u64,
    /// Whether a record has waited for more than `max.compaction.lag.ms`.
    pub is_overdue: bool,
}

impl Cleanable {
    /// The share of what may be cleaned that is dirty.
    #[must_use]
    pub fn dirty_ratio(&self) -> f64 {
        match self.clean_bytes + self.dirty_bytes {
            0 => 0.0,
            all => self.dirty_bytes as f64 / all as f64,
        }
    }
}

/// What a round needs of a log.
#[derive(Debug)]
pub(super) struct Plan {
    /// All segments that may be cleaned.
    pub(super) sources: Vec<Source>,
    /// Those behind, where transactions end.
    pub(super) beyond: Vec<Source>,
    pub(super) producers: HashMap<i64, LastOfProducer>,
}

impl Log {
    /// What may be cleaned; `clean_end` is where the last round ended, if there was one.
    ///
    /// # Errors
    /// If a segment cannot be read.
    pub fn cleanable(
        &self,
        directory: &LogDirectory,
        clean_end: Option<i64>,
        high_watermark: i64,
        now_ms: i64,
    ) -> Result<Cleanable, LogError> {
        let first = self.segments.first().map_or(self.end_offset, Segment::base_offset);
        // An end behind the log's own is of another log, or of a longer one that was cut.
        let first_dirty = clean_end.filter(|end| (first..=self.end_offset).contains(end)).unwrap_or(first);
        let decided = self.last_stable_offset(high_watermark).min(directory.settled_end(&self.durability));
        let mut cleanable =
            Cleanable { first_dirty, end: first, clean_bytes: 0, dirty_bytes: 0, is_overdue: false };
        for pair in self.segments.windows(2) {
            let (segment, end) = (&pair[0], pair[1].base_offset());
            if end > decided || (end > first_dirty && self.is_young(segment, now_ms)?) {
                break;
            }
            cleanable.end = end;
            if end <= first_dirty {
                cleanable.clean_bytes += u64::from(segment.bytes());
            } else {
                cleanable.dirty_bytes += u64::from(segment.bytes());
                cleanable.is_overdue = cleanable.is_overdue || self.is_overdue(segment, now_ms)?;
            }
        }
        cleanable.end = cleanable.end.max(first_dirty);
        Ok(cleanable)
    }

    fn is_young(&self, segment: &Segment, now_ms: i64) -> Result<bool, LogError> {
        let lag_ms = self.config.min_compaction_lag_ms;
        Ok(lag_ms > 0 && segment.largest_timestamp()?.timestamp > now_ms.saturating_sub(lag_ms))
    }

    fn is_overdue(&self, segment: &Segment, now_ms: i64) -> Result<bool, LogError> {
        let lag_ms = self.config.max_compaction_lag_ms;
        if lag_ms == i64::MAX {
            return Ok(false);
        }
        let first = segment.first_timestamp()?.unwrap_or(-1);
        Ok(first > 0 && first < now_ms.saturating_sub(lag_ms))
    }

    /// The segments before `end`, and what else a round needs to know.
    pub(super) fn plan_cleaning(&self, end: i64) -> Plan {
        let source = |segment: &Segment, end_offset: i64| Source {
            base_offset: segment.base_offset(),
            end_offset,
            bytes: segment.bytes(),
            created_ms: segment.created_ms(),
            file: segment.file().clone(),
        };
        let bases = self.segments.iter().skip(1).map(Segment::base_offset);
        let closed = self.segments.iter().zip(bases).map(|(segment, end)| source(segment, end));
        let (sources, mut beyond): (Vec<_>, Vec<_>) = closed.partition(|source| source.end_offset <= end);
        beyond.extend(self.segments.last().map(|active| source(active, self.end_offset)));
        let last = |state: &super::super::ProducerState| LastOfProducer {
            data_offset: state.batches.back().map(|batch| batch.last_offset),
            epoch: state.epoch,
        };
        let producers = self.producers.sorted().into_iter().map(|(id, state)| (id, last(state))).collect();
        Plan { sources, beyond, producers }
    }
}
