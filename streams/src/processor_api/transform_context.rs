//! What a transformer and its maker are given.

use super::needs::Places;
use super::{GlobalStoreRef, Needs, StoreRef};
use crate::data::Data;
use crate::processor::{Context, TaskId};
use crate::record::RecordMetadata;
use crate::state::{GlobalStore, KeyValue, ReadableStore, Store, StoreAccess, Stores, WriteContext};

/// What the maker of a [`ValueTransformer`](super::ValueTransformer) is given, to say what the transformer needs.
pub struct TransformInitContext<'a> {
    pub(super) needs: &'a mut Needs,
    pub(super) task_id: TaskId,
}

impl TransformInitContext<'_> {
    /// Asks for a store: adds it to the topology and connects it. Processors that ask for a store of the same name share
    /// it.
    pub fn store<S: ReadableStore>(&mut self, store: Store<S>) -> StoreRef<S> {
        self.needs.store(&store)
    }

    /// Asks for a global store, to read it.
    pub fn global_store<K: Data, V: Data>(&mut self, store: Store<KeyValue<K, V>>) -> GlobalStoreRef<K, V> {
        self.needs.global_store(&store)
    }

    /// The task that the transformer is made for. While the topology is built it is `0_0`.
    pub fn task_id(&self) -> TaskId {
        self.task_id
    }
}

/// What a [`ValueTransformer`](super::ValueTransformer) is given with each value: all of a processor's context but the
/// way down.
pub struct TransformContext<'a> {
    stores: &'a mut Stores,
    write: WriteContext<'a>,
    places: &'a Places,
    stream_time: i64,
    wall_clock_ms: i64,
}

/// Why a reference always fits.
const OWN: &str = "a reference is used by the transformer whose maker has asked for it";

impl<'a> TransformContext<'a> {
    pub(super) fn new(
        context: &'a mut Context<'_>,
        places: &'a Places,
        timestamp: i64,
        headers: &'a [u8],
    ) -> Self {
        let (stream_time, wall_clock_ms) = (context.state.stream_time, context.state.wall_clock_ms);
        let (stores, write) = context.stores(timestamp, headers);
        TransformContext { stores, write, places, stream_time, wall_clock_ms }
    }

    /// A store that the maker has asked for. What it gives are snapshots: they borrow neither store nor context.
    pub fn store<S: ReadableStore>(&mut self, store: StoreRef<S>) -> S::Store<'_> {
        let index = *self.places.stores.get(store.place as usize).expect(OWN);
        // Its kind was checked when the node was made.
        S::face(StoreAccess { stores: self.stores, index, write: self.write.again() }).expect(OWN)
    }

    /// A global store that the maker has asked for, to be read. What it gives are snapshots.
    pub fn global_store<K: Data, V: Data>(&mut self, store: GlobalStoreRef<K, V>) -> GlobalStore<'_, K, V> {
        let index = *self.places.globals.get(store.place as usize).expect(OWN);
        // Its kind was checked when the node was made.
        GlobalStore::of(StoreAccess { stores: self.stores, index, write: self.write.again() }).expect(OWN)
    }

    /// The time of the update that is processed, or of the row that is looked up.
    pub fn timestamp(&self) -> i64 {
        self.write.timestamp
    }

    /// The highest time of the records that the task has processed; -1 before the first.
    pub fn stream_time(&self) -> i64 {
        self.stream_time
    }

    /// What the wall clock shows, in milliseconds since 1970; it stands while a record is processed.
    pub fn wall_clock_time(&self) -> i64 {
        self.wall_clock_ms
    }

    /// Where the record that is processed was read from; `None` where a row is looked up.
    pub fn record_metadata(&self) -> Option<RecordMetadata> {
        let WriteContext { topic, partition, offset, .. } = self.write;
        topic.map(|topic| RecordMetadata { topic: topic.clone(), partition, offset })
    }
}
