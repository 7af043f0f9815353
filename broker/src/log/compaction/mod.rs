//! Compaction: of each key the last record stays, at the offset it has always had.
//!
//! A round cleans one log. The first walk, over the *dirty* part (what came since the last round), notes the last offset
//! of each key in a map; the second copies the closed segments, oldest first, into new ones without the records that a
//! later one supersedes, and these take the old ones' places. All of it goes on beside appends and reads: the log's lock
//! is held only to look up segments and to exchange them.
//!
//! Reading order: `range` (what may be cleaned), `source`, `pace`, the first walk (`key_hash`, `offset_map`,
//! `transactions`), the second (`filter`, `grouping`, `rewrite`), `swap`, `progress`, and the round here.

mod range;
mod source;

mod pace;

mod key_hash;
mod offset_map;
mod transactions;

mod filter;
mod grouping;
mod rewrite;

mod swap;

mod progress;

use std::time::Duration;

use parking_lot::RwLock;

pub use pace::Pace;
pub use progress::CleanerProgress;
pub use range::Cleanable;
pub(super) use swap::{finish_swaps, is_swap_file};

use super::error::LogError;
use super::{Log, LogDirectory, index_interval_bytes};
use filter::Filter;
use grouping::{SegmentBounds, group};
use key_hash::KeyHasher;
use offset_map::OffsetMap;
use pace::Interrupted;
use source::Source;
use transactions::{Aborted, MarkerKeeper, find_aborted};

/// Why a round ends early.
#[derive(Debug)]
enum Stop {
    /// The disk or a segment.
    Error(LogError),
    /// It is to end, or the log has changed under it.
    Interrupted,
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Stop {
        Stop::Error(error)
    }
}

impl From<Interrupted> for Stop {
    fn from(_: Interrupted) -> Stop {
        Stop::Interrupted
    }
}

/// The bounds of a round.
#[derive(Clone, Copy, Debug)]
pub struct CleanerLimits {
    /// Bytes that the map of keys may take.
    pub map_bytes: usize,
    /// The share of the map that is used.
    pub map_load_factor: f64,
}

/// What a round did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanedLog {
    /// Where the clean part ends now.
    pub clean_end: i64,
    /// Bytes of the segments that were read.
    pub bytes_before: u64,
    /// Bytes of those that took their places.
    pub bytes_after: u64,
    /// Keys in the dirty part.
    pub keys: usize,
}

/// Cleans `log` as far as `cleanable` says. None if the round was given up before its end, since the broker stops, the log
/// was deleted or cut, or it is too early: the log is as good as before.
///
/// # Errors
/// If the disk fails or a segment is damaged.
pub async fn clean(
    log: &RwLock<Log>,
    directory: &LogDirectory,
    cleanable: &Cleanable,
    limits: &CleanerLimits,
    pace: &mut Pace,
    now_ms: i64,
) -> Result<Option<CleanedLog>, LogError> {
    let is_gone = || log.read().watermark().gone().is_some();
    match run(log, directory, cleanable, limits, pace, now_ms).await {
        Ok(cleaned) => Ok(Some(cleaned)),
        Err(Stop::Interrupted) => Ok(None),
        // Its files may have gone while they were read.
        Err(Stop::Error(_)) if is_gone() => Ok(None),
        Err(Stop::Error(error)) => Err(error),
    }
}

async fn run(
    log: &RwLock<Log>,
    directory: &LogDirectory,
    cleanable: &Cleanable,
    limits: &CleanerLimits,
    pace: &mut Pace,
    now_ms: i64,
) -> Result<CleanedLog, Stop> {
    let (plan, config, files) = {
        let log = log.read();
        (log.plan_cleaning(cleanable.end), log.config.clone(), log.files.clone())
    };
    let found = find_aborted(&plan.sources, cleanable.first_dirty, &plan.beyond, pace).await?;
    let aborted = found.ok_or(Interrupted)?;
    let hasher = KeyHasher::new(directory.random_secret());
    let mut map = OffsetMap::new(hasher, limits.map_bytes, limits.map_load_factor);
    fill(&mut map, &plan.sources, cleanable.first_dirty, &aborted, pace).await?;
    let clean_end = (map.latest_offset() + 1).max(cleanable.first_dirty);
    let mut outcome = CleanedLog { clean_end, bytes_before: 0, bytes_after: 0, keys: map.len() };
    let known = plan.sources.partition_point(|source| source.base_offset < clean_end);
    let unsigned = |number: i32| u64::try_from(number).unwrap_or(0);
    let bounds = SegmentBounds {
        segment_bytes: unsigned(config.segment_bytes),
        index_bytes: unsigned(config.segment_index_bytes),
        index_interval_bytes: unsigned(config.index_interval_bytes),
    };
    let mut filter = Filter {
        map: &map,
        aborted: &aborted,
        producers: &plan.producers,
        markers: MarkerKeeper::default(),
        now_ms,
        delete_retention_ms: config.delete_retention_ms,
    };
    let delay = Duration::from_millis(u64::try_from(config.file_delete_delay_ms).unwrap_or(0));
    for group in group(&plan.sources[..known], bounds) {
        let interval = index_interval_bytes(&config);
        let cleaned = rewrite::rewrite(group, &files, interval, &mut filter, pace).await?;
        outcome.bytes_before += group.iter().map(|source| u64::from(source.bytes)).sum::<u64>();
        outcome.bytes_after += u64::from(cleaned.bytes());
        let removed = swap::swap(log, directory, group, cleaned).await?;
        directory.remove(removed, delay);
    }
    Ok(outcome)
}

/// The first walk: the last offset of each key from `first_dirty` on, as far as the map goes.
async fn fill(
    map: &mut OffsetMap,
    sources: &[Source],
    first_dirty: i64,
    aborted: &Aborted,
    pace: &mut Pace,
) -> Result<(), Stop> {
    let mut scratch = Vec::new();
    for source in sources.iter().filter(|source| source.end_offset > first_dirty) {
        let mut scan = source.scan()?;
        while let Some(found) = scan.next()? {
            let header = found.header;
            pace.spent(header.batch_bytes()).await?;
            if header.last_offset() < first_dirty {
                continue;
            }
            if map.is_full() {
                return Ok(());
            }
            if !header.is_control() && !aborted.contains(&header) {
                let batch = scan.batch(found)?;
                let corrupt =
                    |error: anabranch_protocol::records::RecordsError| scan.corrupt(found, error.to_string());
                for record in batch.records(&mut scratch).map_err(corrupt)? {
                    let record = record.map_err(corrupt)?;
                    if let Some(key) = record.key
                        && record.offset >= first_dirty
                    {
                        map.put(key, record.offset);
                    }
                }
            }
            map.reached(header.last_offset());
        }
    }
    Ok(())
}
