//! The state of producers, and the indexes of aborted transactions, made anew from snapshots and batches: after a crash,
//! and when a log was truncated.

use anabranch_protocol::records::{Batch, ControlRecord};

use super::error::LogError;
use super::names::{SNAPSHOT_SUFFIX, offset_file_name, parse_offset_file_name};
use super::producer_snapshot::decode_snapshot;
use super::producer_state::ProducerStates;
use super::segment::{Segment, SegmentFiles};

/// Where the first of these segments begins whose index of aborted transactions cannot be read, though it was synced.
pub(super) fn damaged_transactions(segments: &[Segment]) -> Option<i64> {
    let damaged = segments.iter().find_map(|segment| Some((segment, segment.transactions().check().err()?)));
    damaged.map(|(segment, error)| {
        tracing::warn!(%error, "the index of aborted transactions is damaged and made anew");
        segment.base_offset()
    })
}

/// The place of the segment that holds `offset`.
pub(super) fn segment_that_holds(segments: &[Segment], offset: i64) -> usize {
    segments.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1)
}

/// The state of the producers at `end_offset`, from the newest snapshot that can be read and the batches behind it; with
/// it, from the segment that holds `anew_from` on, the indexes of aborted transactions.
pub(super) fn rebuild_producers(
    files: &SegmentFiles,
    segments: &mut [Segment],
    end_offset: i64,
    anew_from: Option<i64>,
    now_ms: i64,
) -> Result<ProducerStates, LogError> {
    let first_anew = anew_from.map_or(segments.len(), |offset| segment_that_holds(segments, offset));
    let snapshot_bound = segments.get(first_anew).map_or(end_offset, Segment::base_offset).min(end_offset);
    for segment in segments.iter_mut().skip(first_anew) {
        segment.transactions_mut().reset()?;
    }
    let disk = files.open_files.disk();
    let entries = match disk.read_dir(&files.directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(LogError::io(&files.directory)(error)),
    };
    let mut snapshots: Vec<i64> = entries
        .iter()
        .filter_map(|entry| parse_offset_file_name(&entry.name, SNAPSHOT_SUFFIX))
        .filter(|offset| *offset <= snapshot_bound)
        .collect();
    snapshots.sort_unstable_by_key(|offset| std::cmp::Reverse(*offset));
    let mut producers = ProducerStates::default();
    let mut from = 0;
    for offset in snapshots {
        let path = files.directory.join(offset_file_name(offset, SNAPSHOT_SUFFIX));
        let bytes = disk.read(&path).map_err(LogError::io(&path))?;
        match decode_snapshot(&bytes, now_ms) {
            Some(snapshot) => {
                (producers, from) = (snapshot, offset);
                break;
            }
            None => tracing::warn!(path = %path.display(), "the producer snapshot is damaged and not used"),
        }
    }
    let first = segment_that_holds(segments, from);
    for (at, segment) in segments.iter_mut().enumerate().skip(first) {
        let mut scan = segment.scan_from_offset(from)?;
        while let Some(batch) = scan.next().map_err(|error| segment.scan_error(error))? {
            let header = batch.header;
            if header.base_offset < from || !header.has_producer_id() {
                continue;
            }
            if !header.is_control() {
                // A transaction that nobody began would never end, and keep readers of committed records from going on.
                if header.is_transactional() {
                    scan.check(batch).map_err(|error| segment.scan_error(error))?;
                }
                producers.appended(&header, now_ms);
                continue;
            }
            let bytes = scan.batch_bytes(batch).map_err(|error| segment.scan_error(error))?;
            let mut scratch = Vec::new();
            let corrupt = |error: anabranch_protocol::records::RecordsError| {
                segment.corrupt(batch.position, error.to_string())
            };
            let whole = Batch { header, bytes };
            // A marker decides for the batches before it; these are looked at when they are read.
            whole.check_crc().map_err(corrupt)?;
            if let Some(record) = whole.records(&mut scratch).map_err(corrupt)?.next() {
                let control = ControlRecord::parse(&record.map_err(corrupt)?).map_err(corrupt)?;
                let ended = producers.marked(&header, control, now_ms);
                if let Some(ended) = ended.filter(|ended| ended.is_aborted && at >= first_anew) {
                    segment.transactions_mut().note(ended.ended)?;
                }
            }
        }
    }
    Ok(producers)
}
