//! Turns a stream of rows into a table: what a topic or a stream says about a key replaces what it said before.

use std::marker::PhantomData;

use super::ResultStore;
use crate::data::Nullable;
use crate::error::Result;
use crate::processor::{Change, DropReason, Forward, InFlight, Operator, Part};
use crate::state::{KeyValueState, ResultState};

/// The newest value of each key; null deletes, null keys are dropped. Kept in a store only if somebody needs it.
pub(crate) struct TableSource<K: Nullable, V> {
    store: Option<ResultStore<K::Present>>,
    types: PhantomData<fn(K, V)>,
}

impl<K: Nullable, V> TableSource<K, V> {
    pub(crate) fn new(store: Option<ResultStore<K::Present>>) -> Self {
        TableSource { store, types: PhantomData }
    }
}

impl<K: Nullable, V: Nullable> Operator for TableSource<K, V> {
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
        let mut old = None;
        if let Some(ResultStore { index, sends_old, .. }) = self.store {
            let (stores, mut write) = context.stores(timestamp, headers.encoded());
            let store = stores.typed::<KeyValueState<K::Present, V::Present>>(index)?;
            if sends_old && !store.is_cached() {
                old = store.get(key.get())?.map(|(value, _)| value);
            }
            // Offsets decide, not times: a late update overwrites, as in Kafka Streams.
            store.put(key.get(), new.as_ref().map(|value| (value, timestamp)), &mut write)?;
            if store.is_cached() {
                return Ok(());
            }
        }
        let change = &mut Some(Change::new(new, old));
        out.forward(InFlight { key, value: Part::Owned(change), timestamp, headers })
    }

    fn flush(&mut self, out: &mut Forward<'_, '_, K::Present, Change<V::Present>>) -> Result<()> {
        self.store.as_mut().map_or(Ok(()), |store| store.flush::<KeyValueState<K::Present, V::Present>>(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::check::check_drops;

    #[test]
    fn without_a_store_updates_pass_with_no_old_value() {
        let input = vec![
            (Some("a".to_string()), Some(1i64), 5),
            (None, Some(2), 6),
            (Some("a".to_string()), None, 7),
        ];
        let output = vec![
            ("a".to_string(), Change::new(Some(1), None), 5),
            ("a".to_string(), Change::new(None, None), 7),
        ];
        check_drops(TableSource::new(None), input, output, &[(DropReason::NullKey, 1)]);
    }
}
