//! A stream joined with a table: each record of the stream meets the row of its key.

use std::marker::PhantomData;
use std::sync::Arc;

use super::TableGetter;
use crate::data::{Item, Nullable};
use crate::error::Result;
use crate::processor::{DropReason, Forward, InFlight, Operator, Part};

/// Joins records whose key has a row; the others go no further.
pub(crate) struct StreamTableJoin<K: Nullable, V, VT, F> {
    table: Box<dyn TableGetter<K::Present, VT>>,
    joiner: Arc<F>,
    types: PhantomData<fn(V)>,
}

/// Joins all records; a null key and a key without a row meet nothing.
pub(crate) struct StreamTableLeftJoin<K: Nullable, V, VT, F> {
    table: Box<dyn TableGetter<K::Present, VT>>,
    joiner: Arc<F>,
    types: PhantomData<fn(V)>,
}

impl<K: Nullable, V, VT, F> StreamTableJoin<K, V, VT, F> {
    pub(crate) fn new(table: Box<dyn TableGetter<K::Present, VT>>, joiner: Arc<F>) -> Self {
        StreamTableJoin { table, joiner, types: PhantomData }
    }
}

impl<K: Nullable, V, VT, F> StreamTableLeftJoin<K, V, VT, F> {
    pub(crate) fn new(table: Box<dyn TableGetter<K::Present, VT>>, joiner: Arc<F>) -> Self {
        StreamTableLeftJoin { table, joiner, types: PhantomData }
    }
}

impl<K: Nullable, V: Nullable, VT: Item, R: Item, F> Operator for StreamTableJoin<K, V, VT, F>
where
    F: Fn(&K::Present, V::Present, &VT) -> R + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K::Present;
    type ValueOut = R;

    fn process(
        &mut self,
        record: InFlight<'_, K, V>,
        out: &mut Forward<'_, '_, K::Present, R>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let Some(key) = key.present() else {
            out.context().drop_record(DropReason::NullKey);
            return Ok(());
        };
        let Some(value) = value.present() else {
            out.context().drop_record(DropReason::NullValue);
            return Ok(());
        };
        match self.table.get(key.get(), Some(timestamp), out.context())? {
            Some((row, _)) => {
                let record = InFlight { key, value, timestamp, headers };
                record.forward_mapped(out, |key, value| Ok((self.joiner)(key, value, &row)))
            }
            None => Ok(()),
        }
    }
}

impl<K: Nullable, V: Nullable, VT: Item, R: Item, F> Operator for StreamTableLeftJoin<K, V, VT, F>
where
    F: Fn(&K, V::Present, Option<&VT>) -> R + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = R;

    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K, R>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let Some(value) = value.present() else {
            out.context().drop_record(DropReason::NullValue);
            return Ok(());
        };
        let row = match key.get().as_present() {
            Some(key) => self.table.get(key, Some(timestamp), out.context())?,
            None => None,
        };
        let joined = (self.joiner)(key.get(), value.take(), row.as_ref().map(|(row, _)| row));
        out.forward(InFlight { key, value: Part::Owned(&mut Some(joined)), timestamp, headers })
    }
}
