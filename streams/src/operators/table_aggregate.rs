//! Keeps one value a group of a table's rows: what leaves the group is subtracted, then what enters it is added.

use std::marker::PhantomData;
use std::sync::Arc;

use super::ResultStore;
use crate::data::{Data, Item};
use crate::error::Result;
use crate::processor::{Change, Forward, InFlight, Operator, Part};
use crate::state::{KeyValueState, ResultState, Updated};

/// Keeps what `add` and `subtract` make of the old aggregate. `add` gets none where there is none.
pub(crate) struct TableAggregate<K, V, A, F, G> {
    store: ResultStore<K>,
    add: Arc<F>,
    subtract: Arc<G>,
    types: PhantomData<fn(K, V, A)>,
}

impl<K, V, A, F, G> TableAggregate<K, V, A, F, G> {
    pub(crate) fn new(store: ResultStore<K>, add: Arc<F>, subtract: Arc<G>) -> Self {
        TableAggregate { store, add, subtract, types: PhantomData }
    }
}

impl<K, V, A, F, G> Operator for TableAggregate<K, V, A, F, G>
where
    K: Data,
    V: Item,
    A: Data,
    F: Fn(&K, V, Option<A>) -> Result<Option<A>> + Send + Sync,
    G: Fn(&K, V, A) -> Result<Option<A>> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K;
    type ValueOut = Change<A>;

    fn process(
        &mut self,
        record: InFlight<'_, K, Change<V>>,
        out: &mut Forward<'_, '_, K, Change<A>>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let Change { new: enters, old: leaves, .. } = value.take();
        let ResultStore { index, sends_old, .. } = self.store;
        let (stores, mut write) = out.context().stores(timestamp, headers.encoded());
        let store = stores.typed::<KeyValueState<K, A>>(index)?;
        let keeps_old = sends_old && !store.is_cached();
        let (mut old, mut at) = (None, timestamp);
        let updated = store.update(key.get(), &mut write, |row| {
            let mut aggregate = None;
            if let Some((value, time)) = row {
                at = at.max(time);
                if keeps_old {
                    old = Some(value.clone());
                }
                aggregate = match leaves {
                    Some(leaves) => (self.subtract)(key.get(), leaves, value)?,
                    None => Some(value),
                };
            }
            if let Some(enters) = enters {
                aggregate = (self.add)(key.get(), enters, aggregate)?;
            }
            Ok(match aggregate {
                Some(aggregate) => Updated::Put(aggregate, at),
                None => Updated::Deleted,
            })
        })?;
        if store.is_cached() {
            return Ok(());
        }
        let new = match updated {
            Updated::Put(aggregate, _) => Some(aggregate),
            Updated::Deleted => None,
        };
        let change = &mut Some(Change::new(new, old));
        out.forward(InFlight { key, value: Part::Owned(change), timestamp: at, headers })
    }

    fn flush(&mut self, out: &mut Forward<'_, '_, K, Change<A>>) -> Result<()> {
        self.store.flush::<KeyValueState<K, A>>(out)
    }
}
