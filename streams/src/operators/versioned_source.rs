//! Turns a stream of rows into a table that remembers: what is said of a time counts for that time, whenever it comes.

use std::marker::PhantomData;

use crate::data::Nullable;
use crate::error::Result;
use crate::processor::{Change, DropReason, Forward, InFlight, Operator, Part};
use crate::state::{VersionPut, VersionedState};

/// The values of each key over time; null deletes, null keys are dropped, and so is what is older than the history.
pub(crate) struct VersionedSource<K, V> {
    store: usize,
    /// Somebody below asks for old values.
    sends_old: bool,
    types: PhantomData<fn(K, V)>,
}

impl<K, V> VersionedSource<K, V> {
    pub(crate) fn new(store: usize, sends_old: bool) -> Self {
        VersionedSource { store, sends_old, types: PhantomData }
    }
}

impl<K: Nullable, V: Nullable> Operator for VersionedSource<K, V> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K::Present;
    type ValueOut = Change<V::Present>;

    fn process(
        &mut self,
        record: InFlight<'_, K, V>,
        out: &mut Forward<'_, '_, K::Present, Change<V::Present>>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let context = out.context();
        let Some(key) = key.present() else {
            context.drop_record(DropReason::NullKey);
            return Ok(());
        };
        let new = value.present().map(Part::take);
        let (index, sends_old) = (self.store, self.sends_old);
        let (stores, mut write) = context.stores(timestamp, headers.encoded());
        let store = stores.typed::<VersionedState<K::Present, V::Present>>(index)?;
        let old = if sends_old { store.get(key.get())?.map(|version| version.value) } else { None };
        let is_latest = match store.put(key.get(), new.as_ref(), timestamp, &mut write)? {
            VersionPut::Latest => true,
            VersionPut::Until(_) => false,
            VersionPut::TooOld => {
                context.drop_record(DropReason::Late);
                return Ok(());
            }
        };
        let change = &mut Some(Change { new, old, is_latest });
        out.forward(InFlight { key, value: Part::Owned(change), timestamp, headers })
    }
}
