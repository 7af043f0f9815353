//! Rows that come in any order and are wanted by key, the newest of each: a sort that needs little memory.
//!
//! What comes is collected, and sorted into a *run* whenever there is enough of it. Runs stay in memory as long as there is
//! room; then they go to a file, which they may share with others, block by block. At the end all runs are merged. Of a key the newest row counts, and one
//! that was deleted is left out, so what is merged is right for a store that has no rows.
//!
//! ```text
//!   record:  length of the key u32 | length of the row u32, all ones: deleted | key | row (see `encoding`)
//!   run:     records by key, one a key
//! ```
//! Integers are in the machine's order: nobody else reads them. Checksums of blocks are kept in memory.

use std::cmp::Ordering;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::encoding::encode_row;
use super::engine_error;
use super::scratch::ScratchFile;
use crate::error::{Error, Result};
use crate::row::Row;

/// So many bytes of records are sorted at a time: few enough to lie in the processor's cache.
const OPEN_BYTES: usize = if cfg!(test) { 1 << 10 } else { 8 << 20 };
/// Where there is no room for that, so many.
const LEAST_OPEN_BYTES: usize = 64 << 10;
/// A block of a run in a file.
const BLOCK_BYTES: usize = if cfg!(test) { 1 << 8 } else { 64 << 10 };
/// The lengths before a record.
const LENGTHS_BYTES: usize = 8;
const DELETED: u32 = u32::MAX;
/// What a row may have beside its value and headers.
const ROW_EXTRA_BYTES: usize = 16;

/// Rows that are being collected.
#[derive(Debug)]
pub(crate) struct Runs {
    store: Arc<str>,
    engine: &'static str,
    /// Bytes that may be in memory.
    limit: usize,
    /// What came since the last run was made.
    open: Vec<u8>,
    /// Oldest first.
    runs: Vec<Run>,
    /// Of the runs in memory.
    bytes: usize,
    file: Option<Arc<ScratchFile>>,
}

#[derive(Debug)]
struct Run {
    place: Place,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    File(Vec<Block>),
}

#[derive(Clone, Copy, Debug)]
struct Block {
    offset: u64,
    length: usize,
    checksum: u64,
}

impl Run {
    /// In memory.
    fn bytes(&self) -> usize {
        match &self.place {
            Place::Memory(records) => records.capacity(),
            Place::File(_) => 0,
        }
    }

    /// In memory or in a file.
    fn length(&self) -> usize {
        match &self.place {
            Place::Memory(records) => records.len(),
            Place::File(blocks) => blocks.iter().map(|block| block.length).sum(),
        }
    }
}

impl Runs {
    pub(crate) fn new(store: &str, engine: &'static str) -> Self {
        Runs {
            store: store.into(),
            engine,
            limit: usize::MAX,
            open: Vec::new(),
            runs: Vec::new(),
            bytes: 0,
            file: None,
        }
    }

    /// From now on about so many bytes may be in memory.
    pub(crate) fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
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
        make: impl FnOnce() -> Result<Option<Arc<ScratchFile>>>,
    ) -> Result<()> {
        let row_bytes = row.map_or(0, |row| ROW_EXTRA_BYTES + row.headers.len() + row.value.len());
        let length = self.open.len() + LENGTHS_BYTES + key.len() + row_bytes;
        if length > OPEN_BYTES || length > self.limit / 4 + LEAST_OPEN_BYTES {
            self.make_run();
            self.spill(self.limit, make)?;
        }
        let start = self.open.len();
        self.open.extend_from_slice(&[0; LENGTHS_BYTES]);
        self.open.extend_from_slice(key);
        let key_end = self.open.len();
        if let Some(row) = row {
            encode_row(row, &mut self.open);
        }
        // A table takes no key or row whose bytes cannot be counted so.
        let length = if row.is_some() { (self.open.len() - key_end) as u32 } else { DELETED };
        let (key_length, row_length) = self.open[start..].split_at_mut(LENGTHS_BYTES / 2);
        key_length.copy_from_slice(&(key.len() as u32).to_ne_bytes());
        row_length[..LENGTHS_BYTES / 2].copy_from_slice(&length.to_ne_bytes());
        Ok(())
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.open.capacity()
    }

    fn make_run(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let run = sorted(&self.open);
        self.open.clear();
        self.bytes += run.bytes();
        self.runs.push(run);
    }

    /// Moves all that is in memory into a file, if there can be one.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn put_aside(
        &mut self,
        make: impl FnOnce() -> Result<Option<Arc<ScratchFile>>>,
    ) -> Result<()> {
        self.make_run();
        self.open = Vec::new();
        self.spill(0, make)
    }

    /// Moves the oldest runs into a file, until so many bytes are in memory.
    fn spill(&mut self, limit: usize, make: impl FnOnce() -> Result<Option<Arc<ScratchFile>>>) -> Result<()> {
        if self.bytes() <= limit {
            return Ok(());
        }
        if self.file.is_none() {
            self.file = make()?;
        }
        let Some(file) = &self.file else { return Ok(()) };
        for run in &mut self.runs {
            if self.bytes + self.open.capacity() <= limit {
                break;
            }
            let Place::Memory(records) = &run.place else { continue };
            let written = file.append(records);
            let offset =
                written.map_err(|error| engine_error(self.engine, "to put rows aside")(error.into()))?;
            let mut blocks = Vec::with_capacity(records.len() / BLOCK_BYTES + 1);
            let (mut start, mut end) = (0, 0);
            while start < records.len() {
                end += record_at(records, end).length;
                if end - start >= BLOCK_BYTES || end == records.len() {
                    let checksum = xxh3_64(&records[start..end]);
                    blocks.push(Block { offset: offset + start as u64, length: end - start, checksum });
                    start = end;
                }
            }
            self.bytes -= records.capacity();
            run.place = Place::File(blocks);
        }
        Ok(())
    }

    /// All rows, by key.
    pub(crate) fn merge(mut self) -> MergedRows {
        self.make_run();
        MergedRows::new(self.store, self.engine, self.runs, self.file)
    }
}

/// Where a record has what.
#[derive(Clone, Copy, Debug)]
struct Record {
    key: (usize, usize),
    deleted: bool,
    /// Of all of it.
    length: usize,
}

#[inline]
fn record_at(records: &[u8], at: usize) -> Record {
    let length = |at: usize| records[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    let (key, row) = (length(at) as usize, length(at + 4));
    let start = at + LENGTHS_BYTES;
    let deleted = row == DELETED;
    let row = if deleted { 0 } else { row as usize };
    Record { key: (start, start + key), deleted, length: LENGTHS_BYTES + key + row }
}

/// The first bytes of a key as a number that is ordered as they are.
#[inline]
fn prefix(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(bytes)
        }
    }
}

fn common_bytes(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// The records by key, the last one of each. There is one at least.
fn sorted(records: &[u8]) -> Run {
    let key = |at: u32| {
        let (start, end) = record_at(records, at as usize).key;
        &records[start..end]
    };
    // What all keys begin with tells none from another.
    let first = key(0);
    let (mut common, mut count, mut at) = (first.len(), 0, 0);
    while at < records.len() {
        let record = record_at(records, at);
        let key = &records[record.key.0..record.key.1];
        if key.get(..common) != Some(&first[..common]) {
            common = common_bytes(first, key);
        }
        count += 1;
        at += record.length;
    }
    let mut places = Vec::with_capacity(count);
    at = 0;
    while at < records.len() {
        let record = record_at(records, at);
        places.push((prefix(&records[record.key.0 + common..record.key.1]), at as u32));
        at += record.length;
    }
    places.sort_unstable();
    let mut run = Vec::with_capacity(records.len());
    let mut take = |at: u32| {
        let (at, length) = (at as usize, record_at(records, at as usize).length);
        run.extend_from_slice(&records[at..at + length]);
    };
    for alike in places.chunk_by_mut(|left, right| left.0 == right.0) {
        if alike.len() > 1 {
            alike.sort_unstable_by(|left, right| key(left.1).cmp(key(right.1)).then(left.1.cmp(&right.1)));
            for pair in alike.windows(2).filter(|pair| key(pair[0].1) != key(pair[1].1)) {
                take(pair[0].1);
            }
        }
        if let Some(last) = alike.last() {
            take(last.1);
        }
    }
    if run.len() < records.len() / 4 * 3 {
        run.shrink_to_fit();
    }
    let key = |place: Option<&(u64, u32)>| place.map_or(Vec::new(), |place| key(place.1).to_vec());
    Run { first_key: key(places.first()), last_key: key(places.last()), place: Place::Memory(run) }
}

/// The rows of all runs by key, the newest of each, without those that were deleted.
#[derive(Debug)]
pub struct MergedRows {
    readers: Vec<Reader>,
    /// What the first bytes of each reader's key are as a number, behind what all keys begin with.
    prefixes: Vec<u64>,
    common: usize,
    /// A tree of matches: who lost each, and at 0 who won them all.
    losers: Vec<usize>,
    /// The key that was last; none until the first is asked for.
    last: Option<Vec<u8>>,
    file: Option<Arc<ScratchFile>>,
    /// Of all records, those that are not shown among them.
    bytes: usize,
    store: Arc<str>,
    engine: &'static str,
}

/// A run that is read.
#[derive(Debug)]
struct Reader {
    /// Those still to be read, the last one first.
    blocks: Vec<Block>,
    records: Vec<u8>,
    at: usize,
    /// The record at `at`; none at the end.
    record: Option<Record>,
}

impl Reader {
    #[inline]
    fn key(&self) -> Option<&[u8]> {
        self.record.map(|record| &self.records[record.key.0..record.key.1])
    }

    #[inline]
    fn look(&mut self) {
        self.record = (self.at < self.records.len()).then(|| record_at(&self.records, self.at));
    }
}

impl MergedRows {
    fn new(store: Arc<str>, engine: &'static str, runs: Vec<Run>, file: Option<Arc<ScratchFile>>) -> Self {
        let bytes = runs.iter().map(Run::length).sum();
        let first = runs.first().map_or(&[][..], |run| &run.first_key);
        let ends = runs.iter().flat_map(|run| [&run.first_key, &run.last_key]);
        let common = ends.map(|key| common_bytes(first, key)).min().unwrap_or(0);
        let readers = runs.into_iter().map(|run| {
            let (blocks, records) = match run.place {
                Place::Memory(records) => (Vec::new(), records),
                Place::File(mut blocks) => {
                    blocks.reverse();
                    (blocks, Vec::new())
                }
            };
            Reader { blocks, records, at: 0, record: None }
        });
        let readers: Vec<Reader> = readers.collect();
        let count = readers.len();
        MergedRows {
            readers,
            prefixes: vec![0; count],
            common,
            losers: vec![usize::MAX; count],
            last: None,
            file,
            bytes,
            store,
            engine,
        }
    }

    /// About so many bytes come.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next row, encoded, with its key.
    ///
    /// # Errors
    /// If the disk fails, or what was put aside is damaged.
    pub(crate) fn next(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        let winner = loop {
            let is_first = self.last.is_none();
            match self.losers.first() {
                None => return Ok(None),
                Some(_) if is_first => self.begin()?,
                Some(&winner) => self.advance(winner)?,
            }
            let winner = self.losers[0];
            let reader = &self.readers[winner];
            let (Some(record), Some(key)) = (reader.record, reader.key()) else { return Ok(None) };
            let last = self.last.get_or_insert_default();
            // The same key in older runs comes right behind it.
            if is_first || key != last {
                last.clear();
                last.extend_from_slice(key);
                if !record.deleted {
                    break winner;
                }
            }
        };
        let Reader { records, at, record: Some(record), .. } = &self.readers[winner] else { return Ok(None) };
        Ok(Some((&records[record.key.0..record.key.1], &records[record.key.1..at + record.length])))
    }

    fn begin(&mut self) -> Result<()> {
        for reader in 0..self.readers.len() {
            self.open(reader)?;
        }
        (0..self.readers.len()).for_each(|reader| self.play(reader));
        Ok(())
    }

    /// Goes on to the next record of a reader, and finds out who is first now.
    #[inline]
    fn advance(&mut self, reader: usize) -> Result<()> {
        let found = &mut self.readers[reader];
        found.at += found.record.map_or(0, |record| record.length);
        if found.at < found.records.len() {
            found.look();
            self.note(reader);
        } else {
            self.open(reader)?;
        }
        self.play(reader);
        Ok(())
    }

    /// Reads the next block of a run, if there is one.
    fn open(&mut self, reader: usize) -> Result<()> {
        let found = &mut self.readers[reader];
        if let (Some(block), Some(file)) = (found.blocks.pop(), &self.file) {
            found.at = 0;
            found.records.resize(block.length, 0);
            let read = file.read(&mut found.records, block.offset);
            read.map_err(|error| engine_error(self.engine, "to read what was put aside")(error.into()))?;
            if xxh3_64(&found.records) != block.checksum {
                return Err(Error::corrupt_store(&self.store, "rows that were put aside are damaged"));
            }
        }
        found.look();
        self.note(reader);
        Ok(())
    }

    #[inline]
    fn note(&mut self, reader: usize) {
        let key = self.readers[reader].key();
        self.prefixes[reader] = key.map_or(u64::MAX, |key| prefix(&key[self.common.min(key.len())..]));
    }

    /// A reader has another record: it plays the matches above it.
    #[inline]
    fn play(&mut self, reader: usize) {
        let mut winner = reader;
        let mut matched = (reader + self.losers.len()) / 2;
        while matched > 0 {
            let other = self.losers[matched];
            if self.is_before(other, winner) {
                self.losers[matched] = winner;
                winner = other;
            }
            matched /= 2;
        }
        self.losers[0] = winner;
    }

    /// Whether the record of one is to come before that of the other. Who has not played yet wins until it has.
    #[inline]
    fn is_before(&self, left: usize, right: usize) -> bool {
        if left == usize::MAX || right == usize::MAX {
            return left == usize::MAX;
        }
        match self.prefixes[left].cmp(&self.prefixes[right]) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => self.is_before_alike(left, right),
        }
    }

    #[cold]
    fn is_before_alike(&self, left: usize, right: usize) -> bool {
        match (self.readers[left].key(), self.readers[right].key()) {
            (Some(first), Some(second)) => match first.cmp(second) {
                Ordering::Less => true,
                Ordering::Greater => false,
                // The newer run.
                Ordering::Equal => left > right,
            },
            (first, _) => first.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use anabranch_host::Host;

    use super::super::encoding::decode_row;
    use super::super::scratch::Scratch;
    use super::*;
    use crate::error::ErrorKind;
    use crate::random::Random;

    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    fn read(mut rows: MergedRows) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut all = Vec::new();
        while let Some((key, row)) = rows.next()? {
            all.push((key.to_vec(), decode_row(row).expect("a row").value.to_vec()));
        }
        assert!(rows.next()?.is_none(), "the end stays the end");
        Ok(all)
    }

    /// Rows under keys that begin with `before`, the rest of them of up to `longest` bytes.
    fn collect(seed: u64, before: &[u8], longest: usize, limit: usize, scratch: &Scratch) -> (Runs, Rows) {
        let random = &mut Random(seed);
        let (mut runs, mut model) = (Runs::new("s", "test"), Rows::new());
        runs.set_limit(limit);
        for _ in 0..random.below(2000) {
            let key = [before, &random.bytes(longest)].concat();
            let value = (random.below(4) > 0).then(|| random.bytes(700));
            let row = value.as_deref().map(|value| Row::new(value, 3));
            runs.push(&key, row, || Ok(Some(Arc::new(scratch.file().expect("a file"))))).expect("sound");
            assert!(runs.bytes() <= limit.saturating_add(2 * OPEN_BYTES), "{} bytes", runs.bytes());
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
        (runs, model)
    }

    #[test]
    fn the_newest_of_each_key_comes_in_order() {
        let (host, _runtime) = Host::real(1).expect("threads");
        let directory = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::open(&host.disk(), directory.path()).expect("new");
        let files = || host.disk().read_dir(&directory.path().join("loading")).map_or(0, |files| files.len());
        for seed in 0..60 {
            let before: &[u8] = [&b""[..], b"user-", b"\0\0\0\0\0\0\0\0\0"][seed as usize % 3];
            let longest = [1, 2, 30][seed as usize / 3 % 3];
            let limit = [0, 10_000, usize::MAX][seed as usize / 9 % 3];
            let (runs, model) = collect(seed, before, longest, limit, &scratch);
            assert_eq!(files(), usize::from(runs.file.is_some()));
            assert!(runs.file.is_none() || limit < usize::MAX);
            assert_eq!(
                read(runs.merge()).expect("sound"),
                model.into_iter().collect::<Vec<_>>(),
                "seed {seed}"
            );
            assert_eq!(files(), 0, "gone with what it was for");
        }
        assert!(read(Runs::new("s", "test").merge()).expect("nothing").is_empty());
    }

    #[test]
    fn damage_of_what_was_put_aside_is_told() {
        let (host, _runtime) = Host::real(1).expect("threads");
        let directory = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::open(&host.disk(), directory.path()).expect("new");
        for seed in 0..20 {
            let (runs, _) = collect(seed, b"", 30, 0, &scratch);
            let Some(file) = runs.file.clone() else { continue };
            file.damage(Random(seed).below(file.bytes() as usize) as u64);
            drop(file);
            assert_eq!(
                read(runs.merge()).expect_err("damaged").kind(),
                ErrorKind::CorruptStore,
                "seed {seed}"
            );
        }
    }

    #[test]
    fn what_a_crash_has_left_is_removed() {
        let (host, _runtime) = Host::real(1).expect("threads");
        let directory = tempfile::tempdir().expect("a directory");
        let open = || Scratch::open(&host.disk(), directory.path()).expect("sound");
        std::mem::forget(open().file().expect("made"));
        let loading = directory.path().join("loading");
        assert_eq!(host.disk().read_dir(&loading).expect("there").len(), 1);
        open();
        assert!(!host.disk().exists(&loading).expect("looked"));
    }
}
