//! The stores of a task, by index and without their types.

use std::any::Any;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::task::Context;

use anabranch_state_store::{Checkpoint, Emission, Engine, KeptBytes, Row};

use super::{GlobalRows, WriteContext};
use crate::error::{Error, Result};
use crate::outbox::OutTopic;
use crate::serdes::Serde;

/// A range of serialised keys.
pub(crate) type KeyBounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// A store of a task.
pub(crate) trait TaskStore: Any + Send {
    /// Its name.
    fn name(&self) -> &str;

    /// Whether updates wait to be emitted.
    fn has_pending(&self) -> bool;

    /// Writes the updates that wait to the changelog, where no node forwards them.
    fn flush(&mut self, write: &mut WriteContext<'_>) -> Result<()>;

    /// Ends an epoch; first writes what the changelog gets once per commit.
    fn seal(&mut self, write: &mut WriteContext<'_>) -> Result<()>;

    /// The oldest sealed epoch is safe.
    fn commit(&mut self) -> Result<()>;

    /// Undoes all that is not committed.
    fn abort(&mut self);

    /// Takes a record of the changelog straight into the committed rows.
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>, timestamp: i64, headers: &[u8]) -> Result<()>;

    /// The changelog offset that its engine reflects, if it has an engine.
    fn reflected(&self) -> Option<Checkpoint>;

    /// Notes how far the changelog has been restored.
    fn restored_to(&mut self, checkpoint: Checkpoint) -> Result<()>;

    /// Notes the highest acknowledged changelog offset of the epoch that is about to be committed.
    fn acknowledged(&mut self, checkpoint: Checkpoint);

    /// Committed rows that its engine does not have yet.
    fn unstored_rows(&self) -> usize;

    /// Writes a chunk of them; false if nothing is left.
    fn write_behind(&mut self) -> Result<bool>;

    /// Bytes of rows in memory before its engine; none if memory is all that it has.
    fn resident_bytes(&self) -> usize;

    /// Bytes of rows that are in memory and nowhere else, so that nothing can be forgotten of them.
    fn pinned_bytes(&self) -> usize;

    /// Forgets rows that its engine has, until so many bytes are in memory.
    fn evict(&mut self, bytes: usize) -> Result<()>;

    /// It is going to be restored from the start: if it has nothing yet, it may keep its rows to itself until
    /// [`end_restore`](TaskStore::end_restore), to write them all at once.
    fn begin_restore(&mut self) -> Result<()> {
        Ok(())
    }

    /// It has been restored to the end; false if its rows cannot be read yet, so that this is to be called again.
    fn end_restore(&mut self) -> Result<bool> {
        Ok(true)
    }

    /// Whether that would go on now; wakes the caller when it would.
    fn poll_load(&self, _: &mut Context<'_>) -> bool {
        true
    }

    /// Whether it keeps its rows to itself now.
    fn hides_rows(&self) -> bool {
        false
    }

    /// Waits until its engine has what it is still being given after the restoration.
    fn finish_load(&mut self) -> Result<()> {
        Ok(())
    }

    /// The topic that brings it back, if it is logged.
    fn changelog(&self) -> Option<&OutTopic>;

    /// Bytes that are held for an abort only.
    fn uncommitted_bytes(&self) -> usize;

    /// Bytes of updates that wait to be emitted.
    fn pending_bytes(&self) -> usize;

    /// How many keys it has, if it is in memory alone: those that were deleted since the last commit among them.
    fn num_keys(&self) -> Option<usize> {
        None
    }

    /// How many records a suppression holds back, and their bytes; none of other stores.
    fn held_back(&self) -> Option<(u64, u64)> {
        None
    }
}

/// A store that an operator keeps its result in, and whose updates it forwards.
pub(crate) trait ResultState<K>: TaskStore {
    /// Values of the result.
    type Value;

    /// Whether updates are emitted at a flush, not at once.
    fn is_cached(&self) -> bool;

    /// Where a flush that starts now ends.
    fn pending_writes(&self) -> usize;

    /// Takes the next row to be emitted among those written before `writes`; false if there is none.
    fn take_pending(&mut self, writes: usize) -> bool;

    /// The row that was just taken.
    fn taken(&self) -> Option<Emission<'_>>;

    /// Logs a row that is being emitted.
    fn log_emission(&self, emission: &Emission<'_>, write: &mut WriteContext<'_>) -> Result<()>;

    /// Reads the key of a row that is being emitted into a slot, whose memory may be used again.
    fn read_key(&self, bytes: &[u8], slot: &mut Option<K>) -> Result<()>;

    /// The time that an emission is forwarded with.
    fn emission_time(&self, emission: &Emission<'_>) -> i64 {
        emission.new.map_or(emission.context.timestamp, |row| row.timestamp)
    }

    /// Reads a row that is being emitted: its value and its time.
    fn read_row(&self, row: Row<'_>) -> Result<(Self::Value, i64)>;
}

/// What a store is told when a task makes it.
#[derive(Clone, Debug)]
pub(crate) struct StoreInit {
    pub(crate) name: Arc<str>,
    /// What serdes are told: the name of its changelog, also if it has none.
    pub(crate) topic: Arc<str>,
    /// `None`: it is not logged.
    pub(crate) changelog: Option<OutTopic>,
    pub(crate) cached: bool,
    /// Keeps its rows on disk; `None`: in memory only.
    pub(crate) engine: Option<EngineSlot>,
    /// Of a global store: the rows that all tasks share.
    pub(crate) shared: Option<Arc<GlobalRows>>,
    /// Where it is counted what iterators keep of it.
    pub(crate) kept: KeptBytes,
}

/// Where a store's rows are kept.
#[derive(Clone, Debug)]
pub(crate) struct EngineSlot {
    pub(crate) engine: Arc<dyn Engine>,
    /// Names task and store.
    pub(crate) name: String,
}

type Make = dyn Fn(&StoreInit) -> Result<Box<dyn TaskStore>> + Send + Sync;

/// Makes a store for each task.
#[derive(Clone)]
pub(crate) struct StoreSupplier {
    make: Arc<Make>,
    /// [`StoreSerdes`] of the types that are in it.
    serdes: Option<Arc<dyn Any + Send + Sync>>,
}

/// What keys and values of a store are written and read with.
pub(crate) type StoreSerdes<K, V> = (Arc<dyn Serde<K>>, Arc<dyn Serde<V>>);

impl StoreSupplier {
    pub(crate) fn of<S: TaskStore>(make: impl Fn(&StoreInit) -> Result<S> + Send + Sync + 'static) -> Self {
        StoreSupplier { make: Arc::new(move |init| Ok(Box::new(make(init)?))), serdes: None }
    }

    /// Makes stores that readers reach by serialised keys: they ask for the serdes.
    pub(crate) fn with_serdes<K: 'static, V: 'static, S: TaskStore>(
        serdes: StoreSerdes<K, V>,
        make: impl Fn(&StoreInit, StoreSerdes<K, V>) -> Result<S> + Send + Sync + 'static,
    ) -> Self {
        let own = serdes.clone();
        StoreSupplier { serdes: Some(Arc::new(serdes)), ..Self::of(move |init| make(init, own.clone())) }
    }

    pub(crate) fn make(&self, init: &StoreInit) -> Result<Box<dyn TaskStore>> {
        (self.make)(init)
    }

    /// The serdes of its stores, if these are their types.
    pub(crate) fn serdes<K: 'static, V: 'static>(&self) -> Option<StoreSerdes<K, V>> {
        self.serdes.as_ref()?.downcast_ref().cloned()
    }
}

impl fmt::Debug for StoreSupplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreSupplier(..)")
    }
}

/// The stores of a task.
#[derive(Default)]
pub(crate) struct Stores(Vec<Box<dyn TaskStore>>);

impl Stores {
    pub(crate) fn new(stores: Vec<Box<dyn TaskStore>>) -> Self {
        Stores(stores)
    }

    /// The index of the store of this name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|store| store.name() == name)
    }

    /// A store, typed.
    #[inline]
    pub(crate) fn typed<S: TaskStore>(&mut self, index: usize) -> Result<&mut S> {
        let store: &mut dyn Any = &mut *self.0[index];
        store.downcast_mut().ok_or_else(wrong_type::<S>)
    }

    /// A store, to ask what it is.
    pub(crate) fn as_any(&self, index: usize) -> &dyn Any {
        &*self.0[index]
    }

    pub(crate) fn get(&mut self, index: usize) -> &mut dyn TaskStore {
        &mut *self.0[index]
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Box<dyn TaskStore>> {
        self.0.iter_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Box<dyn TaskStore>> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cold]
fn wrong_type<S>() -> Error {
    Error::invalid(format_args!("a store is used as `{}`, which it is not", std::any::type_name::<S>()))
}
