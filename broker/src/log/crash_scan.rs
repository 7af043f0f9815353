//! What is left of a log after a crash: a scan from the recovery point on.
//!
//! What was durable must be there, batch by batch; behind it the log ends where the first thing stands that is no batch, and
//! the rest is cut off.

use std::path::Path;

use super::error::LogError;
use super::leader_epochs::LeaderEpochs;
use super::scan::{ScanError, ScannedBatch};
use super::segment::Segment;

/// A scan through a log after a crash.
pub(super) struct CrashScan<'a> {
    pub(super) directory: &'a Path,
    pub(super) segments: Vec<Segment>,
    pub(super) epochs: LeaderEpochs,
    pub(super) start_offset: i64,
    pub(super) durable_end: i64,
    /// The offset after the last batch found.
    pub(super) end_offset: i64,
    /// Where the gap begins that lies before the last batch found, if one does.
    pub(super) gap_from: Option<i64>,
    /// Whether anything was cut off or removed.
    pub(super) is_cut: bool,
}

impl CrashScan<'_> {
    /// Scans from the segment that holds what comes before `from`, and cuts off what is torn. That one may have been closed
    /// since it was synced up to there, and then its indexes are not.
    pub(super) fn run(&mut self, from: i64) -> Result<(), LogError> {
        self.drop_before_start()?;
        let first = self.segments.partition_point(|segment| segment.base_offset() < from).saturating_sub(1);
        self.end_offset = self.segments.get(first).map_or(self.start_offset, Segment::base_offset);
        let mut at = first;
        while at < self.segments.len() {
            let base_offset = self.segments[at].base_offset();
            // Batches are written one behind the other: what is not durable and stands behind a gap is torn as well.
            if base_offset > self.end_offset && self.may_cut() {
                break;
            }
            self.end_offset = self.end_offset.max(base_offset);
            at += 1;
            if !self.scan_segment(at - 1, from)? {
                break;
            }
        }
        if self.start_offset >= self.durable_end && self.end_offset < self.start_offset {
            // Whatever is left lies before the start; the segment that followed it was not durable.
            (at, self.end_offset) = (0, self.start_offset);
        }
        if self.end_offset < self.durable_end {
            return Err(match self.segments.last() {
                Some(last) => last.corrupt(
                    last.bytes(),
                    format!(
                        "it ends at offset {}, but was durable up to {}",
                        self.end_offset, self.durable_end
                    ),
                ),
                None => LogError::Corrupt {
                    path: self.directory.to_path_buf(),
                    position: 0,
                    reason: format!("it has no segments, but was durable up to {}", self.durable_end),
                },
            });
        }
        let torn = self.segments.split_off(at);
        self.remove(torn)
    }

    /// Whether what comes next was not durable, or lies before the log's start, and so may be cut off.
    fn may_cut(&self) -> bool {
        self.end_offset >= self.durable_end || self.start_offset >= self.durable_end
    }

    /// Removes segments that retention had let go of, and that a crash or the journal's replay brought back, maybe in
    /// parts.
    fn drop_before_start(&mut self) -> Result<(), LogError> {
        let is_before = |pair: &&[Segment]| pair[1].base_offset() <= self.start_offset;
        let count = self.segments.windows(2).take_while(is_before).count();
        let dropped = self.segments.drain(..count).collect();
        self.remove(dropped)
    }

    fn remove(&mut self, segments: Vec<Segment>) -> Result<(), LogError> {
        for segment in segments {
            self.is_cut = true;
            for file in segment.all_files() {
                let path = file.path();
                match file.disk().remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(LogError::io(&path)(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Scans one segment; returns whether it was whole.
    fn scan_segment(&mut self, at: usize, from: i64) -> Result<bool, LogError> {
        let is_before_start = self.start_offset >= self.durable_end;
        let segment = &mut self.segments[at];
        let bytes = segment.bytes();
        let mut scan = segment.begin_recovery(from)?;
        // Only an index leads into the middle; it has been held against the batch it led to.
        let led_to = segment.bytes();
        loop {
            let error = match scan.next_checked() {
                Ok(None) => return Ok(true),
                Ok(Some(batch)) if !continues(&batch, self.end_offset, self.durable_end, led_to) => {
                    let reason =
                        format!("offset {} comes after {}", batch.header.base_offset, self.end_offset - 1);
                    if self.gap_from.is_some_and(|from| batch.header.base_offset >= from) {
                        // A whole batch that belongs before the last one, into what seemed to be a gap: that one's
                        // base offset is not what was written, and this one is no torn end.
                        return Err(segment.corrupt(batch.position, reason));
                    }
                    ScanError::NoBatch { position: batch.position, reason }
                }
                Ok(Some(batch)) => {
                    let is_behind_gap =
                        batch.header.base_offset > self.end_offset && !is_led_to(&batch, led_to);
                    self.gap_from = is_behind_gap.then_some(self.end_offset);
                    segment.adopt(batch)?;
                    self.end_offset = batch.header.next_offset();
                    // Before that they are known, and the epoch in a batch lies outside its checksum.
                    if batch.header.base_offset >= from {
                        self.epochs.assign(batch.header.partition_leader_epoch, batch.header.base_offset);
                    }
                    continue;
                }
                Err(error) => error,
            };
            return match error {
                ScanError::NoBatch { position, reason }
                    if self.end_offset >= self.durable_end || is_before_start =>
                {
                    tracing::info!(
                        segment = %segment.file().path().display(),
                        position, bytes, reason, "a torn end is cut off"
                    );
                    segment.cut(position)?;
                    self.is_cut = true;
                    Ok(false)
                }
                error => Err(segment.scan_error(error)),
            };
        }
    }
}

/// Whether a batch is the one that an index led to.
fn is_led_to(batch: &ScannedBatch, led_to: u32) -> bool {
    led_to > 0 && batch.position == led_to
}

/// Whether a batch can stand behind what ends at `end_offset`. Compaction leaves gaps, but only long after batches were
/// durable, so behind a gap lies what was durable to its end. The base offset lies outside the checksum: one that points
/// ahead must not make durable batches look like a torn end, nor be missed where it is that of the last one.
fn continues(batch: &ScannedBatch, end_offset: i64, durable_end: i64, led_to: u32) -> bool {
    let base_offset = batch.header.base_offset;
    let is_durable =
        batch.header.next_offset() <= durable_end || (base_offset == durable_end && is_led_to(batch, led_to));
    base_offset == end_offset || (base_offset > end_offset && is_durable)
}
