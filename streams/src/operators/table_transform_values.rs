//! A table made of another by a transformer with stores.

use super::{ResultStore, TableGetter};
use crate::error::Result;
use crate::headers::Headers;
use crate::processor::{Change, Context, Forward, InFlight, Operator, Origin, Part};
use crate::processor_api::{MadeTransformer, ValueTransformer};
use crate::state::{KeyValueState, ResultState};

/// A row of the new table for each row of the old one.
pub(crate) struct TableTransformValues<T: ValueTransformer> {
    transformer: MadeTransformer<T>,
    store: Option<ResultStore<T::Key>>,
    /// Somebody below asks for old values.
    sends_old: bool,
}

impl<T: ValueTransformer> TableTransformValues<T> {
    pub(crate) fn new(
        transformer: MadeTransformer<T>,
        store: Option<ResultStore<T::Key>>,
        sends_old: bool,
    ) -> Self {
        TableTransformValues { transformer, store, sends_old }
    }
}

impl<T: ValueTransformer> Operator for TableTransformValues<T> {
    type KeyIn = T::Key;
    type ValueIn = Change<T::ValueIn>;
    type KeyOut = T::Key;
    type ValueOut = Change<T::ValueOut>;

    fn process(
        &mut self,
        record: InFlight<'_, T::Key, Change<T::ValueIn>>,
        out: &mut Forward<'_, '_, T::Key, Change<T::ValueOut>>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let (change, at) = (value.get(), (timestamp, headers));
        let new = self.transformer.transform(key.get(), change.new.as_ref(), at, out.context())?;
        let mut old = None;
        let mut is_latest = change.is_latest;
        match self.store {
            None if self.sends_old => {
                old = self.transformer.transform(key.get(), change.old.as_ref(), at, out.context())?;
            }
            None => {}
            Some(ResultStore { index, .. }) => {
                let (stores, mut write) = out.context().stores(timestamp, headers.encoded());
                let store = stores.typed::<KeyValueState<T::Key, T::ValueOut>>(index)?;
                if self.sends_old && !store.is_cached() {
                    old = store.get(key.get())?.map(|(value, _)| value);
                }
                store.put(key.get(), new.as_ref().map(|value| (value, timestamp)), &mut write)?;
                if store.is_cached() {
                    return Ok(());
                }
                // A store of its own keeps one value a key, and takes the last that came for the latest.
                is_latest = true;
            }
        }
        let change = &mut Some(Change { new, old, is_latest });
        out.forward(InFlight { key, value: Part::Owned(change), timestamp, headers })
    }

    fn flush(&mut self, out: &mut Forward<'_, '_, T::Key, Change<T::ValueOut>>) -> Result<()> {
        self.store.as_mut().map_or(Ok(()), |store| store.flush::<KeyValueState<T::Key, T::ValueOut>>(out))
    }
}

/// Reads a transformed table that is kept nowhere: transforms the row that is found, or that there is none.
pub(crate) struct TransformGetter<T: ValueTransformer> {
    pub(crate) inner: Box<dyn TableGetter<T::Key, T::ValueIn>>,
    pub(crate) transformer: MadeTransformer<T>,
}

/// The time of a row that is not there.
const UNKNOWN_TIME: i64 = -1;

impl<T: ValueTransformer> TableGetter<T::Key, T::ValueOut> for TransformGetter<T> {
    fn get(
        &mut self,
        key: &T::Key,
        as_of: Option<i64>,
        context: &mut Context<'_>,
    ) -> Result<Option<(T::ValueOut, i64)>> {
        let found = self.inner.get(key, as_of, context)?;
        let timestamp = found.as_ref().map_or(UNKNOWN_TIME, |(_, timestamp)| *timestamp);
        // The record that is being processed is another table's.
        let mut context =
            Context { outbox: &mut *context.outbox, origin: Origin::none(), state: &mut *context.state };
        let value = found.as_ref().map(|(value, _)| value);
        let made = self.transformer.transform(key, value, (timestamp, &Headers::new()), &mut context)?;
        Ok(made.map(|value| (value, timestamp)))
    }
}
