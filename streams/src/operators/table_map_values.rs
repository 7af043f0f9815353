//! Tables made of tables, row by row: `map_values` and `filter`, with a store of their own or without.

use std::marker::PhantomData;
use std::sync::Arc;

use super::ResultStore;
use crate::data::{Data, Item};
use crate::error::Result;
use crate::processor::{Change, Forward, InFlight, Operator, Part};
use crate::state::{KeyValueState, ResultState};

/// A row of the new table for each row of the old one; `None` if there is none.
pub(crate) struct TableMapValues<K, V, V2, F> {
    mapper: Arc<F>,
    store: Option<ResultStore<K>>,
    /// Somebody below asks for old values.
    sends_old: bool,
    /// A filter: what neither was nor is in the new table is not worth telling.
    quiet: bool,
    types: PhantomData<fn(K, V, V2)>,
}

impl<K, V, V2, F> TableMapValues<K, V, V2, F> {
    pub(crate) fn new(mapper: Arc<F>, store: Option<ResultStore<K>>, sends_old: bool, quiet: bool) -> Self {
        TableMapValues { mapper, store, sends_old, quiet, types: PhantomData }
    }
}

impl<K: Data, V: Item, V2: Data, F> Operator for TableMapValues<K, V, V2, F>
where
    F: Fn(&K, V) -> Result<Option<V2>> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K;
    type ValueOut = Change<V2>;

    fn process(
        &mut self,
        record: InFlight<'_, K, Change<V>>,
        out: &mut Forward<'_, '_, K, Change<V2>>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let Change { new, old, is_latest } = value.take();
        let map = |value: Option<V>| match value {
            Some(value) => (self.mapper)(key.get(), value),
            None => Ok(None),
        };
        let new = map(new)?;
        let old = match self.store {
            _ if !self.sends_old => None,
            None => map(old)?,
            Some(ResultStore { index, .. }) => {
                let store = out.context().state.stores.typed::<KeyValueState<K, V2>>(index)?;
                store.get(key.get())?.map(|(value, _)| value)
            }
        };
        if self.quiet && self.sends_old && new.is_none() && old.is_none() {
            return Ok(());
        }
        if let Some(ResultStore { index, .. }) = self.store {
            let (stores, mut write) = out.context().stores(timestamp, headers.encoded());
            let store = stores.typed::<KeyValueState<K, V2>>(index)?;
            store.put(key.get(), new.as_ref().map(|value| (value, timestamp)), &mut write)?;
            if store.is_cached() {
                return Ok(());
            }
        }
        // A store of its own keeps one value a key, and takes the last that came for the latest.
        let is_latest = is_latest || self.store.is_some();
        let change = &mut Some(Change { new, old, is_latest });
        out.forward(InFlight { key, value: Part::Owned(change), timestamp, headers })
    }

    fn flush(&mut self, out: &mut Forward<'_, '_, K, Change<V2>>) -> Result<()> {
        self.store.as_mut().map_or(Ok(()), |store| store.flush::<KeyValueState<K, V2>>(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::check::check;

    fn change(new: Option<i64>, old: Option<i64>) -> (String, Change<i64>, i64) {
        ("k".to_string(), Change::new(new, old), 5)
    }

    #[test]
    fn new_and_old_are_mapped() {
        let double_even = || Arc::new(|_: &String, n: i64| Ok((n % 2 == 0).then_some(n * 2)));
        let input = vec![
            change(Some(2), None),
            change(Some(3), Some(2)),
            change(None, Some(3)),
            change(Some(5), None),
        ];
        let with_old =
            vec![change(Some(4), None), change(None, Some(4)), change(None, None), change(None, None)];
        check(TableMapValues::new(double_even(), None, true, false), input.clone(), with_old.clone());
        check(TableMapValues::new(double_even(), None, true, true), input.clone(), with_old[..2].to_vec());
        // Without old values a filter cannot know what is not worth telling.
        let without_old =
            vec![change(Some(4), None), change(None, None), change(None, None), change(None, None)];
        check(TableMapValues::new(double_even(), None, false, true), input, without_old);
    }
}
