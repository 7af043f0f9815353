//! A join of two tables by key: each side looks up the row of the other.

use std::marker::PhantomData;
use std::sync::Arc;

use super::{ResultStore, TableGetter};
use crate::data::{Data, Item};
use crate::error::Result;
use crate::processor::{Change, DropReason, Forward, InFlight, Operator, Part};
use crate::state::{KeyValueState, ResultState};

/// What an update of one side means while the other side is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinRule {
    /// Nothing: both sides must be there. Either side of an inner join.
    Inner,
    /// There is a row while this side is there. The left side of a left join.
    Outer,
    /// Nothing; while the other side is there, there is a row without this one. The right side of a left join.
    Optional,
    /// There is a row while any side is there. Either side of an outer join.
    Full,
}

/// Forwards how the joined row changes when a row of this side does.
pub(crate) struct TableJoin<K, V, O, R, F> {
    rule: JoinRule,
    other: Box<dyn TableGetter<K, O>>,
    joiner: Arc<F>,
    sends_old: bool,
    types: PhantomData<fn(V, R)>,
}

impl<K, V, O, R, F> TableJoin<K, V, O, R, F> {
    pub(crate) fn new(
        rule: JoinRule,
        other: Box<dyn TableGetter<K, O>>,
        joiner: Arc<F>,
        sends_old: bool,
    ) -> Self {
        TableJoin { rule, other, joiner, sends_old, types: PhantomData }
    }
}

impl<K: Item, V: Item, O: Item, R: Item, F> Operator for TableJoin<K, V, O, R, F>
where
    F: Fn(&K, Option<&V>, Option<&O>) -> Result<Option<R>> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K;
    type ValueOut = Change<R>;

    fn process(
        &mut self,
        record: InFlight<'_, K, Change<V>>,
        out: &mut Forward<'_, '_, K, Change<R>>,
    ) -> Result<()> {
        let InFlight { key, value, mut timestamp, headers } = record;
        let change = value.get();
        if !change.is_latest {
            // A versioned table has learnt of an earlier time: the joined row is that of the latest.
            out.context().drop_record(DropReason::Late);
            return Ok(());
        }
        let found = self.other.get(key.get(), None, out.context())?;
        let other = match &found {
            Some((other, at)) => {
                timestamp = timestamp.max(*at);
                Some(other)
            }
            None => None,
        };
        match self.rule {
            JoinRule::Inner | JoinRule::Optional if other.is_none() => return Ok(()),
            JoinRule::Outer | JoinRule::Full
                if other.is_none() && change.new.is_none() && change.old.is_none() =>
            {
                return Ok(());
            }
            _ => {}
        }
        let join = |value: Option<&V>| {
            let joins = match self.rule {
                JoinRule::Inner | JoinRule::Outer => value.is_some(),
                JoinRule::Optional => true,
                JoinRule::Full => value.is_some() || other.is_some(),
            };
            if joins { (self.joiner)(key.get(), value, other) } else { Ok(None) }
        };
        let new = join(change.new.as_ref())?;
        let old = if self.sends_old { join(change.old.as_ref())? } else { None };
        let is_latest = change.is_latest;
        let value = &mut Some(Change { new, old, is_latest });
        out.forward(InFlight { key, value: Part::Owned(value), timestamp, headers })
    }
}

/// Where the two sides of a join meet; keeps the result if it is asked to.
pub(crate) struct TableJoinMerge<K, R> {
    store: Option<ResultStore<K>>,
    sends_old: bool,
    types: PhantomData<fn(K, R)>,
}

impl<K, R> TableJoinMerge<K, R> {
    pub(crate) fn new(store: Option<ResultStore<K>>, sends_old: bool) -> Self {
        TableJoinMerge { store, sends_old, types: PhantomData }
    }
}

impl<K: Data, R: Data> Operator for TableJoinMerge<K, R> {
    type KeyIn = K;
    type ValueIn = Change<R>;
    type KeyOut = K;
    type ValueOut = Change<R>;

    fn process(
        &mut self,
        record: InFlight<'_, K, Change<R>>,
        out: &mut Forward<'_, '_, K, Change<R>>,
    ) -> Result<()> {
        if let Some(ResultStore { index, .. }) = self.store {
            let (stores, mut write) = out.context().stores(record.timestamp, record.headers.encoded());
            let store = stores.typed::<KeyValueState<K, R>>(index)?;
            let new = record.value.get().new.as_ref().map(|value| (value, record.timestamp));
            store.put(record.key.get(), new, &mut write)?;
            if store.is_cached() {
                return Ok(());
            }
        }
        if self.sends_old || record.value.get().old.is_none() {
            return out.forward(record);
        }
        record.forward_mapped(out, |_, change| Ok(Change { old: None, ..change }))
    }

    fn flush(&mut self, out: &mut Forward<'_, '_, K, Change<R>>) -> Result<()> {
        self.store.as_mut().map_or(Ok(()), |store| store.flush::<KeyValueState<K, R>>(out))
    }
}
