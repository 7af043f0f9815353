//! A stream joined with a global table: each record looks up the row of the key that it names.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::data::{Data, Item, Nullable};
use crate::error::Result;
use crate::processor::{DropReason, Forward, InFlight, Operator, Part};
use crate::state::KeyValueState;

/// Joins each record with the row of the key that `select` gives; `joiner` answers `None` where a row is needed and there
/// is none.
pub(crate) struct GlobalJoin<K, V, GK, GV, S, F> {
    table: Box<KeyValueState<GK, GV>>,
    /// Records without a key of the table go through as well.
    left: bool,
    select: Arc<S>,
    joiner: Arc<F>,
    types: PhantomData<fn(K, V)>,
}

impl<K, V, GK, GV, S, F> GlobalJoin<K, V, GK, GV, S, F> {
    pub(crate) fn new(table: Box<KeyValueState<GK, GV>>, left: bool, select: Arc<S>, joiner: Arc<F>) -> Self {
        GlobalJoin { table, left, select, joiner, types: PhantomData }
    }
}

impl<K, V, GK, GV, R, S, F> Operator for GlobalJoin<K, V, GK, GV, S, F>
where
    K: Item,
    V: Nullable,
    GK: Data,
    GV: Data,
    R: Item,
    S: Fn(&K, &V::Present) -> Result<Option<GK>> + Send + Sync,
    F: Fn(&K, V::Present, Option<&GV>) -> Option<R> + Send + Sync,
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
        let row = match (self.select)(key.get(), value.get())? {
            Some(named) => self.table.get(&named)?.map(|(row, _)| row),
            None if self.left => None,
            None => {
                out.context().drop_record(DropReason::NullKey);
                return Ok(());
            }
        };
        match (self.joiner)(key.get(), value.take(), row.as_ref()) {
            Some(joined) => {
                let value = &mut Some(joined);
                out.forward(InFlight { key, value: Part::Owned(value), timestamp, headers })
            }
            None => Ok(()),
        }
    }
}
