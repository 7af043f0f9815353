//! Rows of a table that are being collected, those of each segment by themselves: each segment is a store of its own, is
//! written by itself, and may expire before.
//!
//! Segments share the memory and the file of what has no room there: the one that has most in memory gives way. As rows
//! mostly come in the order of their times, that is the one that is coming now, or one that will not come again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::runs::{MergedRows, Runs};
use super::scratch::ScratchFile;
use crate::error::Result;
use crate::row::Row;
use crate::table::timed::TimedKeys;

/// So many bytes a segment are in memory at least, whatever the limit says: files want long writes.
const LEAST_BYTES: usize = if cfg!(test) { 1 << 10 } else { 64 << 10 };

/// Rows that are being collected.
#[derive(Debug)]
pub(crate) struct SegmentRuns {
    store: Arc<str>,
    engine: &'static str,
    /// If keys have a time.
    keys: Option<TimedKeys>,
    segments: BTreeMap<u64, Runs>,
    /// Of keys that have no time.
    own: Runs,
    /// Bytes that may be in memory.
    limit: usize,
    /// Bytes that are.
    bytes: usize,
    file: SharedFile,
}

/// The file of all segments.
#[derive(Debug, Default)]
struct SharedFile {
    file: Option<Arc<ScratchFile>>,
    /// The engine has no place for one.
    is_refused: bool,
}

impl SharedFile {
    fn get(
        &mut self,
        make: impl FnOnce() -> Result<Option<ScratchFile>>,
    ) -> Result<Option<Arc<ScratchFile>>> {
        if self.file.is_none() && !self.is_refused {
            self.file = make()?.map(Arc::new);
            self.is_refused = self.file.is_none();
        }
        Ok(self.file.clone())
    }
}

/// All rows, by key.
#[derive(Debug)]
pub(crate) struct MergedSegments {
    /// By segment.
    pub(crate) segments: BTreeMap<u64, MergedRows>,
    /// Those of keys that have no time.
    pub(crate) own: MergedRows,
}

impl SegmentRuns {
    pub(crate) fn new(store: &str, engine: &'static str, keys: Option<TimedKeys>) -> Self {
        SegmentRuns {
            store: store.into(),
            engine,
            keys,
            segments: BTreeMap::new(),
            own: Runs::new(store, engine),
            limit: usize::MAX,
            bytes: 0,
            file: SharedFile::default(),
        }
    }

    /// From now on about so many bytes may be in memory.
    pub(crate) fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
        self.segments.values_mut().chain([&mut self.own]).for_each(|runs| runs.set_limit(bytes));
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a row, or that it was deleted. `make` gives the file for what has no room in memory, if there can be one.
    ///
    /// # Errors
    /// If the disk fails.
    #[inline]
    pub(crate) fn push(
        &mut self,
        key: &[u8],
        row: Option<Row<'_>>,
        make: impl Fn() -> Result<Option<ScratchFile>>,
    ) -> Result<()> {
        let SegmentRuns { segments, own, file, .. } = self;
        let runs = match self.keys.and_then(|keys| keys.segment_of(key)) {
            None => own,
            Some(segment) => segments.entry(segment).or_insert_with(|| {
                let mut runs = Runs::new(&self.store, self.engine);
                runs.set_limit(self.limit);
                runs
            }),
        };
        let before = runs.bytes();
        runs.push(key, row, || file.get(&make))?;
        self.bytes = self.bytes + runs.bytes() - before;
        if self.bytes > self.limit && !self.segments.is_empty() {
            self.put_aside(make)?;
        }
        Ok(())
    }

    #[cold]
    fn put_aside(&mut self, make: impl Fn() -> Result<Option<ScratchFile>>) -> Result<()> {
        let least = (self.segments.len() + 1) * LEAST_BYTES;
        while self.bytes > self.limit.max(least) && !self.file.is_refused {
            let all = self.segments.values_mut().chain([&mut self.own]);
            let Some(largest) = all.max_by_key(|runs| runs.bytes()) else { return Ok(()) };
            let before = largest.bytes();
            let file = &mut self.file;
            largest.put_aside(|| file.get(&make))?;
            self.bytes = self.bytes + largest.bytes() - before;
        }
        Ok(())
    }

    /// Forgets the segments before this one.
    pub(crate) fn drop_before(&mut self, segment: u64) {
        self.segments = self.segments.split_off(&segment);
        self.bytes = self.segments.values().chain([&self.own]).map(Runs::bytes).sum();
    }

    pub(crate) fn merge(self) -> MergedSegments {
        let segments = self.segments.into_iter().map(|(segment, runs)| (segment, runs.merge()));
        MergedSegments { segments: segments.collect(), own: self.own.merge() }
    }
}

#[cfg(test)]
mod tests {
    use anabranch_host::Host;

    use super::super::encoding::decode_row;
    use super::super::scratch::Scratch;
    use super::*;
    use crate::random::Random;

    const KEYS: TimedKeys = TimedKeys { number_bytes: 4, segment_ms: 10 };

    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    fn read(mut rows: MergedRows) -> Rows {
        let mut all = Rows::new();
        while let Some((key, row)) = rows.next().expect("sound") {
            all.insert(key.to_vec(), decode_row(row).expect("a row").value.to_vec());
        }
        all
    }

    #[test]
    fn each_segment_has_the_newest_of_its_keys() {
        let (host, _runtime) = Host::real(1).expect("threads");
        let directory = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::open(&host.disk(), directory.path()).expect("new");
        let files = || host.disk().read_dir(&directory.path().join("loading")).map_or(0, |files| files.len());
        for seed in 0..36 {
            let random = &mut Random(seed);
            let mut runs = SegmentRuns::new("s", "test", Some(KEYS));
            let limit = [0, 20_000, usize::MAX][seed as usize % 3];
            let has_files = seed % 4 > 0;
            runs.set_limit(limit);
            let mut model: BTreeMap<Option<u64>, Rows> = BTreeMap::new();
            for step in 0..random.below(3000) as u64 {
                let mut key = random.bytes(3);
                // Times go on, and some are old; a few keys have none.
                let time = step / 100 + random.below(20) as u64;
                if random.below(30) > 0 {
                    key.extend_from_slice(&[&time.to_be_bytes()[..], &[0; 4]].concat());
                }
                let value = (random.below(4) > 0).then(|| random.bytes(300));
                let row = value.as_deref().map(|value| Row::new(value, 3));
                let make = || Ok(has_files.then(|| scratch.file().expect("a file")));
                runs.push(&key, row, make).expect("sound");
                let rows = model.entry(KEYS.segment_of(&key)).or_default();
                match value {
                    Some(value) => rows.insert(key, value),
                    None => rows.remove(&key),
                };
                let parts = runs.segments.len() + 1;
                let most = limit.max(parts * LEAST_BYTES).saturating_add(70_000);
                assert!(!has_files || runs.bytes() <= most, "seed {seed}: {} bytes", runs.bytes());
                let counted: usize = runs.segments.values().chain([&runs.own]).map(Runs::bytes).sum();
                assert_eq!(runs.bytes(), counted, "seed {seed}");
                if random.below(1000) == 0 {
                    let before = (time / 10).saturating_sub(1);
                    runs.drop_before(before);
                    model.retain(|segment, _| segment.is_none_or(|segment| segment >= before));
                }
            }
            assert!(files() <= 1, "all of them share one");
            let merged = runs.merge();
            let mut all: BTreeMap<_, _> =
                merged.segments.into_iter().map(|(segment, rows)| (Some(segment), read(rows))).collect();
            all.insert(None, read(merged.own));
            all.retain(|_, rows| !rows.is_empty());
            model.retain(|_, rows| !rows.is_empty());
            assert!(all == model, "seed {seed}");
            assert_eq!(files(), 0, "gone with what it was for");
        }
    }
}
