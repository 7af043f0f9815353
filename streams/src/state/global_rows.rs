//! The rows of a global store: one copy an instance, written by its global task, read by the tasks of all workers.
//!
//! This is the one place where workers share memory. The rows lie in shards, each under a lock that is held for one
//! look-up or one write, so readers hardly ever meet. A write is seen at once: there are no epochs, since a global store
//! follows a topic that others have committed. Who reads many rows holds the shards as they are ([`FrozenGlobal`]); a
//! shard that is held is copied when it is written next, and what they keep of it is counted.
//!
//! Kept on disk, the rows lie in one store of the engine, together with how far each partition of the topic is reflected:
//! both are written in one atomic chunk, so that reading goes on where it had stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anabranch_client::murmur2_partition;
use anabranch_host::HashMap;
use anabranch_state_store::{Checkpoint, EngineStore, Kept, KeptBytes, KeyRange, Order, Row, RowBuffer};
use parking_lot::{Mutex, RwLock};

use super::frozen_global::FrozenGlobal;
use super::write::store_error;
use crate::error::{Error, ErrorKind, Result};

/// How many parts the rows lie in.
const SHARDS: usize = 32;

/// What a row takes beside its bytes: a place in the map, and the heads of its three parts.
const ROW_BYTES: usize = 96;

/// Written to the engine at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// In the engine a row's key begins with this.
const ROW: u8 = 0;
/// What is reflected of a partition lies under this, the partition, and the topic.
const REFLECTED: u8 = 1;

/// The rows of a global store.
#[derive(Debug)]
pub(crate) struct GlobalRows {
    name: Arc<str>,
    shards: Box<[RwLock<Arc<Kept<Shard>>>]>,
    durable: Option<Mutex<Durable>>,
    /// Of keys and rows in memory.
    bytes: AtomicUsize,
    /// Of those that only they have who read them.
    kept: KeptBytes,
}

/// Keys are shared with who reads them in order.
pub(super) type Shard = HashMap<Arc<[u8]>, RowBuffer>;

/// How far partitions of topics are reflected, by topic and partition.
pub(crate) type Reflected = BTreeMap<(Arc<str>, i32), Checkpoint>;

#[derive(Debug)]
struct Durable {
    store: Box<dyn EngineStore>,
    reflected: Reflected,
    /// Keys whose rows the engine does not have as they are.
    dirty: BTreeSet<Vec<u8>>,
}

impl GlobalRows {
    /// No rows yet, and kept in memory only. What readers keep of them is counted in `kept`.
    pub(crate) fn in_memory(name: &str, kept: &KeptBytes) -> Self {
        let shard = |_| RwLock::new(Kept::new(Shard::default(), kept));
        let shards = (0..SHARDS).map(shard).collect();
        GlobalRows {
            name: name.into(),
            shards,
            durable: None,
            bytes: AtomicUsize::new(0),
            kept: kept.clone(),
        }
    }

    /// What an engine's store has. What readers keep of it is counted in `kept`.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub(crate) fn open(name: &str, store: Box<dyn EngineStore>, kept: &KeptBytes) -> Result<Self> {
        let mut rows = GlobalRows::in_memory(name, kept);
        let failed = |error| store_error(name, error);
        let mut reflected = Reflected::new();
        let mut scan =
            store.snapshot().and_then(|all| all.scan(&KeyRange::all(), Order::Forward)).map_err(failed)?;
        let (mut key, mut row) = (Vec::new(), RowBuffer::default());
        while scan.next(&mut key, &mut row).map_err(failed)? {
            match key.split_first() {
                Some((&ROW, key)) => rows.apply(key, Some(row.row())),
                Some((&REFLECTED, place)) => {
                    let (place, checkpoint) = read_reflected(place, &row).ok_or_else(|| rows.foreign())?;
                    reflected.insert(place, checkpoint);
                }
                _ => return Err(rows.foreign()),
            }
        }
        drop(scan);
        rows.durable = Some(Mutex::new(Durable { store, reflected, dirty: BTreeSet::new() }));
        Ok(rows)
    }

    #[cold]
    fn foreign(&self) -> Error {
        let what = format_args!("what is kept of the global store `{}` is damaged", self.name);
        Error::new(ErrorKind::Corrupted, what)
    }

    /// How far the rows on disk reflect each partition; nothing if they are in memory only.
    pub(crate) fn reflected(&self) -> Reflected {
        self.durable.as_ref().map(|durable| durable.lock().reflected.clone()).unwrap_or_default()
    }

    /// Copies the row of a key into `row`; false if there is none.
    pub(crate) fn get(&self, key: &[u8], row: &mut RowBuffer) -> bool {
        match self.shard(key).read().get(key) {
            Some(found) => {
                row.set(found.row());
                true
            }
            None => false,
        }
    }

    /// Writes or removes a row.
    pub(crate) fn put(&self, key: &[u8], row: Option<Row<'_>>) {
        self.apply(key, row);
        if let Some(durable) = &self.durable {
            durable.lock().dirty.insert(key.to_vec());
        }
    }

    /// Takes over all rows of another, at one moment.
    pub(crate) fn replace(&self, by: &GlobalRows) {
        let mut shards: Vec<_> = self.shards.iter().map(RwLock::write).collect();
        let mut before = Vec::new();
        for (shard, rows) in shards.iter_mut().zip(&by.shards) {
            let empty = Kept::new(Shard::default(), &self.kept);
            before.push(std::mem::replace(&mut **shard, std::mem::replace(&mut *rows.write(), empty)));
        }
        self.bytes.store(by.bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        if let Some(durable) = &self.durable {
            let dirty = &mut durable.lock().dirty;
            dirty.extend(before.iter().flat_map(|shard| shard.keys()).map(|key| key.to_vec()));
            dirty.extend(shards.iter().flat_map(|shard| shard.keys()).map(|key| key.to_vec()));
        }
        before.into_iter().for_each(|shard| shard.leave(bytes_of));
    }

    /// The rows of a range as they are now, all at one moment, in the order of their keys.
    pub(crate) fn freeze(&self, range: &KeyRange<'_>, order: Order) -> FrozenGlobal {
        // Whoever holds one shard waits for a later one only, so all of them can be had.
        let shards: Vec<_> = self.shards.iter().map(RwLock::read).collect();
        FrozenGlobal::new(shards.iter().map(|shard| Arc::clone(shard)).collect(), range, order)
    }

    /// Writes a chunk of what has changed to the engine, and with the last chunk how far the topic is reflected; false if
    /// nothing is left.
    ///
    /// # Errors
    /// If the engine fails.
    pub(crate) fn write_behind(&self, reflected: &Reflected) -> Result<bool> {
        let Some(durable) = &self.durable else { return Ok(false) };
        let Durable { store, reflected: written, dirty } = &mut *durable.lock();
        if dirty.is_empty() && written == reflected {
            return Ok(false);
        }
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while bytes < CHUNK_BYTES
            && let Some(key) = dirty.pop_first()
        {
            let mut row = RowBuffer::default();
            let row = self.get(&key, &mut row).then_some(row);
            bytes += key.len() + row.as_ref().map_or(0, |row| row.value.len() + row.headers.len());
            chunk.push((tagged(ROW, &[&key]), row));
        }
        let more = !dirty.is_empty();
        if !more {
            let mark = |((topic, partition), checkpoint): (&(Arc<str>, i32), &Checkpoint)| {
                let key = tagged(REFLECTED, &[&partition.to_be_bytes(), topic.as_bytes()]);
                let value = checkpoint.offset.to_be_bytes().to_vec();
                (key, Some(RowBuffer { value, timestamp: checkpoint.wall_clock_ms, headers: Vec::new() }))
            };
            chunk.extend(reflected.iter().map(mark));
        }
        let mut rows = chunk.iter().map(|(key, row)| (key.as_slice(), row.as_ref().map(RowBuffer::row)));
        store.write(&mut rows, None).map_err(|error| store_error(&self.name, error))?;
        if !more {
            written.clone_from(reflected);
        }
        Ok(more)
    }

    fn apply(&self, key: &[u8], row: Option<Row<'_>>) {
        let mut shard = self.shard(key).write();
        let shard = Kept::make_mut(&mut shard, bytes_of);
        let bytes = |row: &RowBuffer| row_bytes(key, row);
        // Only one writes, so nobody sees less than nothing.
        match row {
            Some(row) => {
                let place = match shard.get_mut(key) {
                    Some(place) => {
                        self.bytes.fetch_sub(bytes(place), Ordering::Relaxed);
                        place
                    }
                    None => shard.entry(key.into()).or_default(),
                };
                place.set(row);
                self.bytes.fetch_add(bytes(place), Ordering::Relaxed);
            }
            None => {
                if let Some(removed) = shard.remove(key) {
                    self.bytes.fetch_sub(bytes(&removed), Ordering::Relaxed);
                }
            }
        }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.read().len() as u64).sum()
    }

    /// Bytes of the rows in memory.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn shard(&self, key: &[u8]) -> &RwLock<Arc<Kept<Shard>>> {
        &self.shards[shard_of(key, self.shards.len())]
    }
}

fn row_bytes(key: &[u8], row: &RowBuffer) -> usize {
    ROW_BYTES + key.len() + row.value.len() + row.headers.len()
}

fn bytes_of(shard: &Shard) -> usize {
    shard.iter().map(|(key, row)| row_bytes(key, row)).sum()
}

/// Which of so many shards has a key.
pub(super) fn shard_of(key: &[u8], shards: usize) -> usize {
    murmur2_partition(key, shards as i32) as usize % shards
}

fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![tag];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

fn read_reflected(place: &[u8], row: &RowBuffer) -> Option<((Arc<str>, i32), Checkpoint)> {
    let (partition, topic) = place.split_first_chunk::<4>()?;
    let offset = i64::from_be_bytes(row.value.as_slice().try_into().ok()?);
    let topic = std::str::from_utf8(topic).ok()?;
    let place = (topic.into(), i32::from_be_bytes(*partition));
    Some((place, Checkpoint { offset, wall_clock_ms: row.timestamp }))
}

#[cfg(test)]
mod tests {
    use anabranch_state_store::{Engine, MemoryEngine};

    use super::*;

    fn keys(rows: &GlobalRows, order: Order) -> Vec<String> {
        keys_of(rows.freeze(&KeyRange::all(), order))
    }

    fn keys_of(mut rows: FrozenGlobal) -> Vec<String> {
        let next = || rows.next().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn memory_is_counted() {
        let rows = GlobalRows::in_memory("g", &KeptBytes::default());
        let count = |key: &[u8], value: Option<&[u8]>, expected: usize| {
            rows.put(key, value.map(|value| Row::new(value, 0)));
            assert_eq!(rows.resident_bytes(), expected);
        };
        count(b"a", Some(b"1234"), ROW_BYTES + 5);
        count(b"bb", Some(b""), 2 * ROW_BYTES + 7);
        count(b"a", Some(b"1"), 2 * ROW_BYTES + 4);
        count(b"c", None, 2 * ROW_BYTES + 4);
        count(b"a", None, ROW_BYTES + 2);
        count(b"bb", None, 0);
    }

    #[test]
    fn what_readers_keep_is_counted() {
        let kept = KeptBytes::default();
        let rows = GlobalRows::in_memory("g", &kept);
        let put = |value: &[u8]| rows.put(b"a", Some(Row::new(value, 0)));
        put(b"1");
        let first = rows.freeze(&KeyRange::all(), Order::Forward);
        assert_eq!(kept.get(), 0, "the store has it, too");
        put(b"12");
        assert_eq!(kept.get(), ROW_BYTES + 2);
        put(b"123");
        assert_eq!(kept.get(), ROW_BYTES + 2, "nobody has that of before");
        let second = rows.freeze(&KeyRange::all(), Order::Forward);
        rows.replace(&GlobalRows::in_memory("g", &kept));
        assert_eq!(kept.get(), 2 * ROW_BYTES + 6);
        drop(first);
        assert_eq!(kept.get(), ROW_BYTES + 4);
        drop(second);
        assert_eq!(kept.get(), 0);
    }

    #[test]
    fn rows_are_read_by_key_and_in_order() {
        let rows = GlobalRows::in_memory("g", &KeptBytes::default());
        for (at, key) in ["c", "a", "b", "aa"].iter().enumerate() {
            rows.put(key.as_bytes(), Some(Row::new(b"v", at as i64)));
        }
        rows.put(b"b", None);
        assert_eq!(keys(&rows, Order::Forward), ["a", "aa", "c"]);
        assert_eq!(rows.len(), 3);
        assert_eq!(keys(&rows, Order::Reverse), ["c", "aa", "a"]);
        for (first, last, expected) in
            [("aa", "b", &["aa"][..]), ("b", "aa", &[]), ("", "aa", &["a", "aa"]), ("d", "e", &[])]
        {
            let range = KeyRange::inclusive(Some(first.as_bytes()), Some(last.as_bytes()));
            assert_eq!(keys_of(rows.freeze(&range, Order::Forward)), expected, "{first} to {last}");
        }
        let mut row = RowBuffer::default();
        assert!(rows.get(b"c", &mut row) && !rows.get(b"b", &mut row));
        assert_eq!((row.value.as_slice(), row.timestamp), (&b"v"[..], 0));
    }

    #[test]
    fn rows_that_are_read_are_those_of_one_moment() {
        let rows = GlobalRows::in_memory("g", &KeptBytes::default());
        let put = |key: &str, value: Option<&[u8]>| {
            rows.put(key.as_bytes(), value.map(|value| Row::new(value, 0)));
        };
        ["a", "b", "c"].iter().for_each(|key| put(key, Some(b"1")));
        let read = |rows: &mut FrozenGlobal| {
            rows.next().map(|(key, row)| [key, b"=", row.value].concat()).unwrap_or_default()
        };
        let (mut frozen, mut unread) =
            (rows.freeze(&KeyRange::all(), Order::Forward), keys(&rows, Order::Forward));
        let mut later = rows.freeze(&KeyRange::all(), Order::Reverse);
        assert_eq!(read(&mut frozen), b"a=1");
        put("b", Some(b"2"));
        put("c", None);
        put("d", Some(b"2"));
        rows.replace(&GlobalRows::in_memory("g", &KeptBytes::default()));
        assert_eq!(
            [read(&mut frozen), read(&mut frozen), read(&mut frozen)],
            [b"b=1".to_vec(), b"c=1".to_vec(), vec![]]
        );
        while let Some(key) = unread.pop() {
            assert_eq!(read(&mut later), format!("{key}=1").as_bytes());
        }
        assert_eq!((read(&mut later), keys(&rows, Order::Forward)), (vec![], vec![]));
    }

    #[test]
    fn all_rows_are_replaced() {
        let engine = MemoryEngine::default();
        let rows =
            GlobalRows::open("g", engine.open_store("global-g").unwrap(), &KeptBytes::default()).unwrap();
        let by = GlobalRows::in_memory("g", &KeptBytes::default());
        for (rows, keys) in [(&rows, ["a", "b"]), (&by, ["b", "c"])] {
            keys.iter().for_each(|key| rows.put(key.as_bytes(), Some(Row::new(b"v", 0))));
        }
        let reflected =
            |offset| Reflected::from([(("topic".into(), 0), Checkpoint { offset, wall_clock_ms: 7 })]);
        while rows.write_behind(&reflected(1)).unwrap() {}
        rows.replace(&by);
        assert_eq!(keys(&rows, Order::Forward), ["b", "c"]);
        assert_eq!((rows.resident_bytes(), by.resident_bytes()), (2 * (ROW_BYTES + 2), 0));
        while rows.write_behind(&reflected(2)).unwrap() {}
        drop(rows);
        let rows =
            GlobalRows::open("g", engine.open_store("global-g").unwrap(), &KeptBytes::default()).unwrap();
        assert_eq!(keys(&rows, Order::Forward), ["b", "c"]);
        assert_eq!(rows.reflected(), reflected(2));
    }

    #[test]
    fn rows_and_offsets_come_back_together() {
        let engine = MemoryEngine::default();
        let place = |partition| (Arc::<str>::from("topic"), partition);
        let at = |offset| Checkpoint { offset, wall_clock_ms: 7 };
        {
            let rows =
                GlobalRows::open("g", engine.open_store("global-g").unwrap(), &KeptBytes::default()).unwrap();
            // More than a chunk.
            for number in 0..40u32 {
                rows.put(&number.to_be_bytes(), Some(Row::new(&[1; 10_000], 5)));
            }
            let reflected = Reflected::from([(place(0), at(41)), (place(1), at(3))]);
            assert!(rows.write_behind(&reflected).unwrap(), "one chunk is not all");
            // A chunk before the last one says nothing of offsets.
            assert_eq!(rows.reflected(), Reflected::new());
            while rows.write_behind(&reflected).unwrap() {}
            rows.put(&7u32.to_be_bytes(), None);
            let reflected = Reflected::from([(place(0), at(42)), (place(1), at(3))]);
            while rows.write_behind(&reflected).unwrap() {}
            // This one is lost.
            rows.put(&8u32.to_be_bytes(), None);
        }
        let rows =
            GlobalRows::open("g", engine.open_store("global-g").unwrap(), &KeptBytes::default()).unwrap();
        assert_eq!(rows.reflected(), Reflected::from([(place(0), at(42)), (place(1), at(3))]));
        assert_eq!(
            {
                let mut all = rows.freeze(&KeyRange::all(), Order::Forward);
                std::iter::from_fn(|| all.next().map(drop)).count()
            },
            39
        );
    }
}
