//! An engine whose disk is memory: for tests and simulations, where a crash must forget what was not synced.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::encoding::{decode_into, decode_row, encode_row};
use super::scratch::ScratchFile;
use super::{ChunkRows, Engine, EngineScan, EngineSnapshot, EngineStore, KEY_LIMIT_BYTES, check_name};
use crate::error::{Error, Result};
use crate::row::{Checkpoint, RowBuffer};
use crate::table::ordered::{KeyRange, Order};

const NAME: &str = "memory";

/// An engine in memory. A clone is the same engine: keep one to open the stores again after a crash.
#[derive(Clone, Debug, Default)]
pub struct MemoryEngine {
    disk: Arc<Mutex<MemoryDisk>>,
}

#[derive(Debug, Default)]
struct MemoryDisk {
    /// As all batches left it.
    stores: Stores,
    /// As the last sync left it.
    synced: Stores,
    /// What was done since then.
    unsynced: Vec<Batch>,
}

type Stores = BTreeMap<String, StoreBytes>;
type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

#[derive(Clone, Debug, Default)]
struct StoreBytes {
    rows: Arc<BTreeMap<Vec<u8>, Vec<u8>>>,
    checkpoint: Option<Checkpoint>,
}

#[derive(Debug)]
enum Batch {
    Write { store: String, rows: Vec<(Vec<u8>, Option<Vec<u8>>)>, checkpoint: Option<Checkpoint> },
    Drop { store: String },
}

impl MemoryEngine {
    /// An engine without stores.
    #[must_use]
    pub fn new() -> Self {
        MemoryEngine::default()
    }

    /// Batches that a crash may forget.
    #[must_use]
    pub fn unsynced_batches(&self) -> usize {
        self.disk.lock().unsynced.len()
    }

    /// Loses power: of the unsynced batches the first `kept` have reached the disk, the others are gone. Stores that
    /// are open must not be used any more.
    pub fn crash(&self, kept: usize) {
        let mut disk = self.disk.lock();
        let mut batches = std::mem::take(&mut disk.unsynced);
        batches.truncate(kept);
        disk.stores = disk.synced.clone();
        for batch in &batches {
            batch.apply(&mut disk.stores);
        }
        // What has reached the disk does not vanish at the next crash.
        disk.synced = disk.stores.clone();
    }

    fn write(&self, batch: Batch) {
        let mut disk = self.disk.lock();
        batch.apply(&mut disk.stores);
        disk.unsynced.push(batch);
    }
}

impl Batch {
    fn apply(&self, stores: &mut Stores) {
        match self {
            Batch::Drop { store } => {
                stores.remove(store);
            }
            Batch::Write { store, rows, checkpoint } => {
                let store = stores.entry(store.clone()).or_default();
                let all = Arc::make_mut(&mut store.rows);
                for (key, row) in rows {
                    match row {
                        Some(row) => all.insert(key.clone(), row.clone()),
                        None => all.remove(key),
                    };
                }
                store.checkpoint = checkpoint.or(store.checkpoint);
            }
        }
    }
}

impl Engine for MemoryEngine {
    fn open_store(&self, name: &str) -> Result<Box<dyn EngineStore>> {
        check_name(name)?;
        Ok(Box::new(MemoryStore { engine: self.clone(), name: name.to_owned() }))
    }

    fn drop_store(&self, name: &str) -> Result<()> {
        self.write(Batch::Drop { store: name.to_owned() });
        Ok(())
    }

    fn store_names(&self) -> Result<Vec<String>> {
        Ok(self.disk.lock().stores.keys().cloned().collect())
    }

    fn sync(&self) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.synced = disk.stores.clone();
        disk.unsynced.clear();
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryStore {
    engine: MemoryEngine,
    name: String,
}

impl MemoryStore {
    fn bytes(&self) -> StoreBytes {
        self.engine.disk.lock().stores.get(&self.name).cloned().unwrap_or_default()
    }
}

impl EngineStore for MemoryStore {
    fn engine(&self) -> &'static str {
        NAME
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn key_limit_bytes(&self) -> usize {
        KEY_LIMIT_BYTES
    }

    fn is_empty(&self) -> Result<bool> {
        Ok(self.bytes().rows.is_empty())
    }

    fn approximate_rows(&self) -> Result<u64> {
        Ok(self.bytes().rows.len() as u64)
    }

    fn get(&self, key: &[u8], row: &mut RowBuffer) -> Result<bool> {
        match self.bytes().rows.get(key) {
            None => Ok(false),
            Some(bytes) => decode_into(&self.name, bytes, row).map(|()| true),
        }
    }

    fn snapshot(&self) -> Result<Box<dyn EngineSnapshot>> {
        Ok(Box::new(MemorySnapshot { rows: self.bytes().rows }))
    }

    fn write(&mut self, rows: &mut ChunkRows<'_, '_>, checkpoint: Option<Checkpoint>) -> Result<()> {
        let encode = |(key, row): (&[u8], Option<crate::row::Row<'_>>)| {
            let row = row.map(|row| {
                let mut bytes = Vec::new();
                encode_row(row, &mut bytes);
                bytes
            });
            (key.to_vec(), row)
        };
        let rows = rows.map(encode).collect();
        self.engine.write(Batch::Write { store: self.name.clone(), rows, checkpoint });
        Ok(())
    }

    fn scratch_file(&self) -> Result<Option<ScratchFile>> {
        Ok(None)
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        Ok(self.bytes().checkpoint)
    }
}

#[derive(Debug)]
struct MemorySnapshot {
    rows: Arc<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl EngineSnapshot for MemorySnapshot {
    fn scan(&self, range: &KeyRange<'_>, order: Order) -> Result<Box<dyn EngineScan>> {
        let rest = (!range.is_empty()).then(|| {
            let owned = |bound: Bound<&[u8]>| bound.map(<[u8]>::to_vec);
            (owned(range.start()), owned(range.end()))
        });
        Ok(Box::new(MemoryScan { rows: self.rows.clone(), rest, order }))
    }
}

/// Seeks anew for every row: it owns the map that it walks.
struct MemoryScan {
    rows: Arc<BTreeMap<Vec<u8>, Vec<u8>>>,
    rest: Option<Bounds>,
    order: Order,
}

impl EngineScan for MemoryScan {
    fn next(&mut self, key: &mut Vec<u8>, row: &mut RowBuffer) -> Result<bool> {
        let Some((start, end)) = &mut self.rest else { return Ok(false) };
        let mut range = self.rows.range::<Vec<u8>, _>((start.as_ref(), end.as_ref()));
        let found = match self.order {
            Order::Forward => range.next(),
            Order::Reverse => range.next_back(),
        };
        let Some((found, bytes)) = found else { return Ok(false) };
        key.clear();
        key.extend_from_slice(found);
        row.set(decode_row(bytes).ok_or_else(|| Error::corrupt_store(NAME, "a row cannot be decoded"))?);
        let next = Bound::Excluded(found.clone());
        match self.order {
            Order::Forward => *start = next,
            Order::Reverse => *end = next,
        }
        // Bounds that meet would make the map panic.
        let (start, end) = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
        if KeyRange::new(start, end).is_empty() {
            self.rest = None;
        }
        Ok(true)
    }
}
