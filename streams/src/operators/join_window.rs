//! One side of a join of streams: passes each record on to the join, then keeps it for the other side.

use std::marker::PhantomData;

use crate::data::Nullable;
use crate::error::Result;
use crate::processor::{DropReason, Forward, InFlight, Operator};
use crate::state::JoinWindowState;

/// Keeps the records of one side.
pub(crate) struct JoinWindow<K, V> {
    store: usize,
    types: PhantomData<fn(K, V)>,
}

impl<K, V> JoinWindow<K, V> {
    pub(crate) fn new(store: usize) -> Self {
        JoinWindow { store, types: PhantomData }
    }
}

impl<K: Nullable, V: Nullable> Operator for JoinWindow<K, V> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = V;

    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K, V>) -> Result<()> {
        // The join looks at the record and leaves it here: a record does not meet itself.
        out.forward(record.shared())?;
        if let Some(key) = record.key.get().as_present() {
            let (stores, mut write) = out.context().stores(record.timestamp, record.headers.encoded());
            let store = stores.typed::<JoinWindowState<K::Present, V::Present>>(self.store)?;
            if !store.add(key, record.value.get().as_present(), &mut write)? {
                out.context().drop_record(DropReason::Late);
            }
        }
        Ok(())
    }
}
