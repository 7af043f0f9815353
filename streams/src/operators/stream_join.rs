//! A join of two streams: each record meets the records of the other side around its time.
//!
//! In a left or outer join a record that has met nothing waits until its window has closed; then it is joined with
//! nothing. That happens when a later record arrives, and at most once in the emit interval by the wall clock.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::data::{Item, Nullable};
use crate::error::Result;
use crate::headers::Headers;
use crate::processor::{DropReason, Forward, InFlight, MemoId, NodeInit, Operator, Part};
use crate::serdes::Serde;
use crate::state::{JoinWindowState, Side, Take, UnjoinedState};
use crate::windows::JoinWindows;

/// There is no unjoined record.
const NONE: i64 = -1;

/// What the node of one side of a join is made of.
pub(crate) struct JoinSide<K: Nullable, V: Nullable, X, KO, F> {
    pub(crate) side: Side,
    /// Whether a record of this side that meets nothing is joined with nothing.
    pub(crate) outer: bool,
    pub(crate) windows: JoinWindows,
    /// The name that both sides share.
    pub(crate) join: String,
    /// The store of the other side's records.
    pub(crate) other: String,
    /// The store of unjoined records, if the join has some.
    pub(crate) unjoined: Option<String>,
    pub(crate) own_serde: Arc<dyn Serde<V::Present>>,
    pub(crate) other_serde: Arc<dyn Serde<X>>,
    /// The result's key; `None` if it has no room for a null.
    pub(crate) key_out: fn(Option<K::Present>) -> Option<KO>,
    pub(crate) joiner: Arc<F>,
}

impl<K: Nullable, V: Nullable, X, KO, F> Clone for JoinSide<K, V, X, KO, F> {
    fn clone(&self) -> Self {
        JoinSide {
            side: self.side,
            outer: self.outer,
            windows: self.windows,
            join: self.join.clone(),
            other: self.other.clone(),
            unjoined: self.unjoined.clone(),
            own_serde: Arc::clone(&self.own_serde),
            other_serde: Arc::clone(&self.other_serde),
            key_out: self.key_out,
            joiner: Arc::clone(&self.joiner),
        }
    }
}

/// One side of a join: this side's values are `V`, the other's `X`; the joiner takes this side's first. It gives nothing
/// for a pair that its kind of join does not make.
pub(crate) struct StreamJoin<K: Nullable, V: Nullable, X, KO, O, F> {
    made_of: JoinSide<K, V, X, KO, F>,
    other: usize,
    unjoined: Option<usize>,
    /// The highest time that either side has seen.
    time: MemoId,
    /// No unjoined record that is worth looking at is earlier; of both sides. As in Kafka Streams it is the last one
    /// looked at, which may not be the earliest: the order of emission depends on it.
    earliest: MemoId,
    /// When unjoined records are looked for next, by the wall clock; of both sides.
    next_check: MemoId,
    /// What a record has met; here for its memory.
    found: Vec<(i64, X)>,
    types: PhantomData<fn(O)>,
}

impl<K: Nullable, V: Nullable, X, KO, O, F> StreamJoin<K, V, X, KO, O, F> {
    pub(crate) fn new(init: &mut NodeInit<'_>, made_of: JoinSide<K, V, X, KO, F>) -> Result<Self> {
        let other = init.store(&made_of.other)?;
        let unjoined = made_of.unjoined.as_ref().map(|store| init.store(store)).transpose()?;
        let time = init.memos.register(&format!("{}.time", made_of.join));
        let earliest = init.memos.register(&format!("{}.earliest", made_of.join));
        let next_check = init.memos.register_volatile(&format!("{}.next-check", made_of.join));
        let found = Vec::new();
        Ok(StreamJoin { made_of, other, unjoined, time, earliest, next_check, found, types: PhantomData })
    }

    /// How much earlier and later than this side's record the other's may be.
    fn reach(&self) -> (i64, i64) {
        let (before, after) = (self.made_of.windows.before_ms(), self.made_of.windows.after_ms());
        match self.made_of.side {
            Side::Left => (before, after),
            Side::Right => (after, before),
        }
    }
}

impl<K, V, X, KO, O, F> Operator for StreamJoin<K, V, X, KO, O, F>
where
    K: Nullable,
    V: Nullable,
    X: Item,
    KO: Item,
    O: Item,
    F: Fn(&KO, Option<&V::Present>, Option<&X>) -> Option<O> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = KO;
    type ValueOut = O;

    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, KO, O>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let stream_time = out.context().state.memos.raise(self.time, timestamp);
        let Some(value) = value.get().as_present() else {
            out.context().drop_record(DropReason::NullValue);
            return Ok(());
        };
        let Some(key) = key.get().as_present() else {
            return match (self.made_of.key_out)(None).filter(|_| self.made_of.outer) {
                Some(key) => self.forward(key, Some(value), None, timestamp, headers, out),
                None => {
                    out.context().drop_record(DropReason::NullKey);
                    Ok(())
                }
            };
        };
        if timestamp == stream_time {
            self.emit_unjoined(stream_time, headers, out)?;
        }
        let (before, after) = self.reach();
        let to = (timestamp + after).max(0);
        let store = out.context().state.stores.typed::<JoinWindowState<K::Present, X>>(self.other)?;
        store.fetch(key, timestamp - before, to, &mut self.found)?;
        for (time, other) in &self.found {
            if let Some(unjoined) = self.unjoined {
                let (stores, mut write) = out.context().stores(timestamp, headers.encoded());
                let store = stores.typed::<UnjoinedState<K::Present>>(unjoined)?;
                store.remove_joined(*time, self.made_of.side.other(), key, &mut write)?;
            }
            if let Some(key) = (self.made_of.key_out)(Some(key.clone())) {
                self.forward(key, Some(value), Some(other), timestamp.max(*time), headers, out)?;
            }
        }
        let Some(unjoined) = self.unjoined.filter(|_| self.made_of.outer && self.found.is_empty()) else {
            return Ok(());
        };
        if to < stream_time {
            // Its window is over: Kafka Streams does not wait for the grace here.
            return match (self.made_of.key_out)(Some(key.clone())) {
                Some(key) => self.forward(key, Some(value), None, timestamp, headers, out),
                None => Ok(()),
            };
        }
        let memos = &mut out.context().state.memos;
        let earliest = memos.get(self.earliest);
        if earliest == NONE || timestamp < earliest {
            memos.set(self.earliest, timestamp);
        }
        let (stores, mut write) = out.context().stores(timestamp, headers.encoded());
        let store = stores.typed::<UnjoinedState<K::Present>>(unjoined)?;
        store.add(self.made_of.side, key, (&*self.made_of.own_serde, value), &mut write)
    }
}

impl<K, V, X, KO, O, F> StreamJoin<K, V, X, KO, O, F>
where
    K: Nullable,
    V: Nullable,
    X: Item,
    KO: Item,
    O: Item,
    F: Fn(&KO, Option<&V::Present>, Option<&X>) -> Option<O> + Send + Sync,
{
    /// Emits what has waited until its window closed.
    fn emit_unjoined(
        &mut self,
        stream_time: i64,
        headers: &Headers,
        out: &mut Forward<'_, '_, KO, O>,
    ) -> Result<()> {
        let Some(index) = self.unjoined else { return Ok(()) };
        let JoinSide { windows, side, key_out, .. } = self.made_of;
        let (before, after, grace) = (windows.before_ms(), windows.after_ms(), windows.grace_ms());
        let (_, own_after) = self.reach();
        let context = out.context();
        let earliest = context.state.memos.get(self.earliest);
        if earliest == NONE || earliest + own_after + grace >= stream_time {
            return Ok(());
        }
        let now = context.state.wall_clock_ms;
        if now < context.state.memos.get(self.next_check) {
            return Ok(());
        }
        let next = now.saturating_add(context.state.emit_interval_ms);
        context.state.memos.set(self.next_check, next);

        let (mut left_open, mut right_open) = (false, false);
        let mut last = NONE;
        let rows = context.state.stores.typed::<UnjoinedState<K::Present>>(index)?.rows(|time, side| {
            last = time;
            if left_open && right_open {
                return Take::NoMore;
            }
            let (reach, open) = match side {
                Side::Left => (after, &mut left_open),
                Side::Right => (before, &mut right_open),
            };
            if time + reach + grace >= stream_time {
                *open = true;
                return Take::Next;
            }
            Take::It
        })?;
        context.state.memos.set(self.earliest, last);
        for row in rows {
            let store = out.context().state.stores.typed::<UnjoinedState<K::Present>>(index)?;
            let key = key_out(Some(store.key_of(&row)?));
            let (mut own, mut others) = (Vec::new(), Vec::new());
            if row.side == side {
                own = store.values_of(&row, &*self.made_of.own_serde)?;
            } else {
                others = store.values_of(&row, &*self.made_of.other_serde)?;
            }
            if let Some(key) = key {
                for value in &own {
                    self.forward(key.clone(), Some(value), None, row.time, headers, out)?;
                }
                for other in &others {
                    self.forward(key.clone(), None, Some(other), row.time, headers, out)?;
                }
            }
            let (stores, mut write) = out.context().stores(stream_time, headers.encoded());
            stores.typed::<UnjoinedState<K::Present>>(index)?.remove(&row, &mut write)?;
        }
        Ok(())
    }

    fn forward(
        &self,
        key: KO,
        value: Option<&V::Present>,
        other: Option<&X>,
        timestamp: i64,
        headers: &Headers,
        out: &mut Forward<'_, '_, KO, O>,
    ) -> Result<()> {
        let Some(joined) = (self.made_of.joiner)(&key, value, other) else { return Ok(()) };
        let (key, value) = (&mut Some(key), &mut Some(joined));
        out.forward(InFlight { key: Part::Owned(key), value: Part::Owned(value), timestamp, headers })
    }
}

/// A stream joined with itself, with one store: what the two sides of a join would give, in their order.
pub(crate) struct SelfJoin<K: Nullable, V: Nullable, KO, O, F> {
    store: usize,
    windows: JoinWindows,
    time: MemoId,
    key_out: fn(Option<K::Present>) -> Option<KO>,
    joiner: Arc<F>,
    /// What a record has met; here for its memory.
    found: Vec<(i64, V::Present)>,
    types: PhantomData<fn(V, O)>,
}

impl<K: Nullable, V: Nullable, KO, O, F> SelfJoin<K, V, KO, O, F> {
    pub(crate) fn new(
        init: &mut NodeInit<'_>,
        store: &str,
        windows: JoinWindows,
        key_out: fn(Option<K::Present>) -> Option<KO>,
        joiner: Arc<F>,
    ) -> Result<Self> {
        let store = init.store(store)?;
        let (time, found) = (init.observed_time(), Vec::new());
        Ok(SelfJoin { store, windows, time, key_out, joiner, found, types: PhantomData })
    }
}

impl<K, V, KO, O, F> Operator for SelfJoin<K, V, KO, O, F>
where
    K: Nullable,
    V: Nullable,
    KO: Item,
    O: Item,
    F: Fn(&KO, &V::Present, &V::Present) -> Option<O> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = KO;
    type ValueOut = O;

    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, KO, O>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let stream_time = out.context().state.memos.raise(self.time, timestamp);
        let (Some(key), Some(value)) = (key.get().as_present(), value.get().as_present()) else {
            let reason =
                if key.get().as_present().is_none() { DropReason::NullKey } else { DropReason::NullValue };
            out.context().drop_record(reason);
            return Ok(());
        };
        let (before, after) = (self.windows.before_ms(), self.windows.after_ms());
        let retention_ms = before + after + self.windows.grace_ms();
        // Whether the record itself would still be found in a store.
        let mut meets_itself = timestamp > stream_time - retention_ms + 1;
        let emit = |left: &V::Present, right: &V::Present, time: i64, out: &mut Forward<'_, '_, KO, O>| {
            let Some(key) = (self.key_out)(Some(key.clone())) else { return Ok(()) };
            let Some(joined) = (self.joiner)(&key, left, right) else { return Ok(()) };
            let (key, value) = (&mut Some(key), &mut Some(joined));
            out.forward(InFlight {
                key: Part::Owned(key),
                value: Part::Owned(value),
                timestamp: time,
                headers,
            })
        };
        let store = self.store;
        let fetch = |from: i64, to: i64, found: &mut Vec<_>, out: &mut Forward<'_, '_, KO, O>| {
            let stores = &mut out.context().state.stores;
            let store = stores.typed::<JoinWindowState<K::Present, V::Present>>(store)?;
            store.fetch(key, from, to.max(0), found)
        };
        fetch(timestamp - before, timestamp + after, &mut self.found, out)?;
        for (time, other) in &self.found {
            emit(value, other, timestamp.max(*time), out)?;
        }
        fetch(timestamp - after, timestamp + before, &mut self.found, out)?;
        for (time, other) in &self.found {
            if *time > timestamp && std::mem::take(&mut meets_itself) {
                emit(value, value, timestamp, out)?;
            }
            emit(other, value, timestamp.max(*time), out)?;
        }
        if meets_itself {
            emit(value, value, timestamp, out)?;
        }
        Ok(())
    }
}
