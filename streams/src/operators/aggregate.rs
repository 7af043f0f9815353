//! Keeps one value a key, made of all its records: count, reduce, aggregate.

use std::marker::PhantomData;
use std::sync::Arc;

use super::ResultStore;
use crate::data::{Data, Nullable};
use crate::error::Result;
use crate::processor::{Change, DropReason, Forward, InFlight, Operator, Part};
use crate::state::{KeyValueState, ResultState, Updated};

/// Keeps what `combine` makes of the old aggregate and the record's value. Null values are dropped.
///
/// Without an old aggregate `combine` gets what `initial` gives: nothing when reducing.
pub(crate) struct Aggregate<K, V, A, I, F> {
    store: ResultStore<K>,
    initial: Arc<I>,
    combine: Arc<F>,
    types: PhantomData<fn(K, V, A)>,
}

impl<K, V, A, I, F> Aggregate<K, V, A, I, F> {
    pub(crate) fn new(store: ResultStore<K>, initial: Arc<I>, combine: Arc<F>) -> Self {
        Aggregate { store, initial, combine, types: PhantomData }
    }
}

impl<K, V, A, I, F> Operator for Aggregate<K, V, A, I, F>
where
    K: Data,
    V: Nullable,
    A: Data,
    I: Fn() -> Option<A> + Send + Sync,
    F: Fn(&K, Part<'_, V::Present>, Option<A>) -> Result<Option<A>> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = Change<A>;

    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K, Change<A>>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let context = out.context();
        let Some(value) = value.present() else {
            context.drop_record(DropReason::NullValue);
            return Ok(());
        };
        let ResultStore { index, sends_old, .. } = self.store;
        let (stores, mut write) = context.stores(timestamp, headers.encoded());
        let store = stores.typed::<KeyValueState<K, A>>(index)?;
        let keeps_old = sends_old && !store.is_cached();
        let mut old = None;
        let mut at = timestamp;
        let updated = store.update(key.get(), &mut write, |row| {
            let aggregate = match row {
                Some((aggregate, time)) => {
                    at = at.max(time);
                    Some(aggregate)
                }
                None => (self.initial)(),
            };
            if keeps_old {
                old = aggregate.clone();
            }
            Ok(match (self.combine)(key.get(), value, aggregate)? {
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
