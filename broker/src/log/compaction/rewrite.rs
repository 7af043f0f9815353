//! The second walk: a group of segments into one, `.cleaned` until it is whole.

use anabranch_protocol::records::BatchHeader;

use super::super::error::LogError;
use super::super::segment::{Segment, SegmentAppendError, SegmentFiles};
use super::Stop;
use super::filter::Filter;
use super::pace::Pace;
use super::source::Source;
use super::swap::remove;

/// What comes behind the names of files that are being written.
pub(super) const CLEANED_SUFFIX: &str = ".cleaned";

/// Writes what stays of `group` into a new segment beside it.
pub(super) async fn rewrite(
    group: &[Source],
    files: &SegmentFiles,
    index_interval_bytes: u32,
    filter: &mut Filter<'_>,
    pace: &mut Pace,
) -> Result<Segment, Stop> {
    let created_ms = group.iter().map(|source| source.created_ms).max().unwrap_or(0);
    let files = files.beside(CLEANED_SUFFIX);
    let mut cleaned = Segment::new(&files, group[0].base_offset, 0, index_interval_bytes, created_ms);
    match write(group, &mut cleaned, filter, pace).await {
        Ok(()) => Ok(cleaned),
        Err(stop) => {
            // Nobody misses what cannot be removed; the next start does it.
            let _ = remove(&cleaned);
            Err(stop)
        }
    }
}

async fn write(
    group: &[Source],
    cleaned: &mut Segment,
    filter: &mut Filter<'_>,
    pace: &mut Pace,
) -> Result<(), Stop> {
    let path = cleaned.file().path();
    // What an earlier try may have left.
    let file = cleaned.file().get_or_create().map_err(LogError::io(&path))?;
    file.set_len(0).map_err(LogError::io(&path))?;
    let end_offset = group.last().map_or(0, |source| source.end_offset);
    let mut scratch = Vec::new();
    for source in group {
        let mut scan = source.scan()?;
        while let Some(found) = scan.next()? {
            pace.spent(2 * found.header.batch_bytes()).await?;
            let batch = scan.batch(found)?;
            let is_last = found.header.next_offset() == end_offset;
            let kept = filter.keep(&batch, is_last, &mut scratch);
            let Some(kept) = kept.map_err(|reason| scan.corrupt(found, reason))? else { continue };
            let header = BatchHeader::parse(&kept).map_err(|error| scan.corrupt(found, error.to_string()))?;
            match cleaned.append(&kept, &[], &header) {
                Ok(_) => {}
                Err(SegmentAppendError::Clean(source) | SegmentAppendError::Poisoned(source)) => {
                    return Err(LogError::Io { path, source }.into());
                }
            }
        }
    }
    Ok(cleaned.seal()?)
}
