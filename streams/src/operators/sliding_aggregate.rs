//! Aggregates in windows that records make: one that ends at each record, and one that begins just after each record
//! and holds others.
//!
//! Kafka Streams' algorithm, with its order of results: the windows of the key around the record are walked from the
//! newest to the oldest; those that contain the record are updated, then the windows that the record makes are made:
//! the right one of the record before it, its own left one, its own right one.

use std::marker::PhantomData;
use std::sync::Arc;

use anabranch_state_store::Order;

use super::observed::Observed;
use super::{EmitOnClose, ResultStore};
use crate::data::{Data, Nullable};
use crate::error::Result;
use crate::headers::Headers;
use crate::processor::{Change, DropReason, Forward, InFlight, NodeInit, Operator, Part};
use crate::state::{ResultState, WindowState};
use crate::window::{Window, Windowed};

/// Keeps what `combine` makes of the values of each sliding window.
pub(crate) struct SlidingAggregate<K, V, A, W, I, F> {
    store: ResultStore<Windowed<K, W>>,
    difference: i64,
    grace: i64,
    observed: Observed,
    on_close: Option<EmitOnClose>,
    initial: Arc<I>,
    combine: Arc<F>,
    types: PhantomData<fn(K, V, A, W)>,
}

/// An aggregate and the time of its newest record; no aggregate before the first value of a reduction.
type Held<A> = Option<(A, i64)>;

/// What the walk over the windows around a record has found.
struct Around<A> {
    starts: Vec<i64>,
    left: Held<A>,
    right: Held<A>,
    has_left: bool,
    has_right: bool,
    /// The time of the record before this one.
    previous: Option<i64>,
}

/// The record on its way.
struct Arrival<'a, K, P> {
    key: &'a K,
    value: &'a P,
    timestamp: i64,
    close_time: i64,
    headers: &'a Headers,
}

type Out<'o, 'a, 'c, K, W, A> = &'o mut Forward<'a, 'c, Windowed<K, W>, Change<A>>;

impl<K, V, A, W, I, F> SlidingAggregate<K, V, A, W, I, F> {
    pub(crate) fn new(
        init: &mut NodeInit<'_>,
        store: ResultStore<Windowed<K, W>>,
        (difference, grace): (i64, i64),
        on_close: Option<EmitOnClose>,
        initial: Arc<I>,
        combine: Arc<F>,
    ) -> Self {
        let observed = Observed::new(init.observed_time());
        SlidingAggregate {
            store,
            difference,
            grace,
            observed,
            on_close,
            initial,
            combine,
            types: PhantomData,
        }
    }
}

impl<K, V, A, W, I, F> Operator for SlidingAggregate<K, V, A, W, I, F>
where
    K: Data,
    V: Nullable,
    A: Data,
    W: Window,
    I: Fn() -> Option<A> + Send + Sync,
    F: Fn(&K, Part<'_, V::Present>, Option<A>) -> Result<Option<A>> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = Windowed<K, W>;
    type ValueOut = Change<A>;

    fn process(
        &mut self,
        record: InFlight<'_, K, V>,
        out: &mut Forward<'_, '_, Windowed<K, W>, Change<A>>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let Some(value) = value.present() else {
            out.context().drop_record(DropReason::NullValue);
            return Ok(());
        };
        let index = self.store.index;
        let observed = self.observed.raise(out.context().state, timestamp, |stores, time| {
            stores.typed::<WindowState<K, A>>(index)?.resume_at(time)
        })?;
        let close_time = observed - self.grace;
        if timestamp.saturating_add(self.difference) < close_time {
            out.context().drop_record(DropReason::Late);
        } else {
            let arrival = Arrival { key: key.get(), value: value.get(), timestamp, close_time, headers };
            if timestamp < self.difference {
                self.process_early(&arrival, out)?;
            } else {
                self.process_any(&arrival, out)?;
            }
        }
        self.emit_closed(close_time, headers, out)
    }

    fn flush(&mut self, out: &mut Forward<'_, '_, Windowed<K, W>, Change<A>>) -> Result<()> {
        self.store.flush::<WindowState<K, A>>(out)
    }
}

impl<K, V, A, W, I, F> SlidingAggregate<K, V, A, W, I, F>
where
    K: Data,
    V: Nullable,
    A: Data,
    W: Window,
    I: Fn() -> Option<A> + Send + Sync,
    F: Fn(&K, Part<'_, V::Present>, Option<A>) -> Result<Option<A>> + Send + Sync,
{
    /// A record later than the windows are long.
    fn process_any(&mut self, at: &Arrival<'_, K, V::Present>, out: Out<'_, '_, '_, K, W, A>) -> Result<()> {
        let mut around = Around {
            starts: Vec::new(),
            left: None,
            right: None,
            has_left: false,
            has_right: false,
            previous: None,
        };
        let from = at.timestamp - 2 * self.difference;
        for (start, value, newest) in self.fetch(at.key, from, at.timestamp + 1, Order::Reverse, out)? {
            around.starts.push(start);
            let end = start + self.difference;
            if start == at.timestamp + 1 {
                around.has_right = true;
            } else if end > at.timestamp {
                if around.right.is_none() {
                    around.right = Some((value.clone(), newest));
                }
                self.update(start, Some((value, newest)), at, out)?;
            } else if end == at.timestamp {
                around.has_left = true;
                self.update(start, Some((value, newest)), at, out)?;
                if newest >= at.timestamp {
                    // A record of this very time has made all windows already.
                    return Ok(());
                }
                around.previous = Some(newest);
            } else {
                around.left = Some((value, newest));
                around.previous = Some(newest);
                break;
            }
        }
        self.make_windows(around, at, out)
    }

    fn make_windows(
        &mut self,
        around: Around<A>,
        at: &Arrival<'_, K, V::Present>,
        out: Out<'_, '_, '_, K, W, A>,
    ) -> Result<()> {
        if let Some(previous) = around.previous {
            let start = previous + 1;
            if !around.starts.contains(&start) && start + self.difference >= at.timestamp {
                self.update(start, self.first(at.timestamp), at, out)?;
            }
        }
        if !around.has_left {
            let start = at.timestamp - self.difference;
            let held = match (around.left, around.previous) {
                (Some((aggregate, _)), Some(previous)) if start <= previous => {
                    Some((aggregate, at.timestamp))
                }
                _ => self.first(at.timestamp),
            };
            self.update(start, held, at, out)?;
        }
        match around.right {
            Some(held) if !around.has_right && held.1 > at.timestamp => self.make_right(held, at, out),
            _ => Ok(()),
        }
    }

    /// A record earlier than the windows are long: all such records share the window that begins at 0.
    fn process_early(
        &mut self,
        at: &Arrival<'_, K, V::Present>,
        out: Out<'_, '_, '_, K, W, A>,
    ) -> Result<()> {
        let (mut starts, mut combined, mut right) = (Vec::new(), None, None);
        let (mut has_right, mut previous) = (false, None);
        for (start, value, newest) in self.fetch(at.key, 0, at.timestamp + 1, Order::Forward, out)? {
            starts.push(start);
            if start == 0 {
                if newest < at.timestamp {
                    previous = Some(newest);
                }
                combined = Some((value, newest));
            } else if start <= at.timestamp {
                right = Some((value.clone(), newest));
                self.update(start, Some((value, newest)), at, out)?;
            } else {
                has_right = true;
            }
        }
        if right.is_none() {
            // All that the common window holds is later than this record then.
            right = combined.clone().filter(|(_, newest)| *newest > at.timestamp);
        }
        if let Some(held) = right.filter(|(_, newest)| !has_right && *newest > at.timestamp) {
            self.make_right(held, at, out)?;
        }
        if let Some(start) = previous.map(|previous| previous + 1).filter(|start| !starts.contains(start)) {
            self.update(start, self.first(at.timestamp), at, out)?;
        }
        let held = combined.or_else(|| self.first(at.timestamp));
        self.update(0, held, at, out)
    }

    fn first(&self, timestamp: i64) -> Held<A> {
        (self.initial)().map(|aggregate| (aggregate, timestamp))
    }

    /// The window just after the record: what is later than it, so not the record itself.
    fn make_right(
        &mut self,
        (aggregate, newest): (A, i64),
        at: &Arrival<'_, K, V::Present>,
        out: Out<'_, '_, '_, K, W, A>,
    ) -> Result<()> {
        self.keep(at.timestamp + 1, Some(aggregate), None, newest, at, out)
    }

    /// Adds the record to a window, unless it has closed.
    fn update(
        &mut self,
        start: i64,
        held: Held<A>,
        at: &Arrival<'_, K, V::Present>,
        out: Out<'_, '_, '_, K, W, A>,
    ) -> Result<()> {
        if start + self.difference < at.close_time {
            out.context().drop_record(DropReason::Late);
            return Ok(());
        }
        let (aggregate, timestamp) = match held {
            Some((aggregate, newest)) => (Some(aggregate), at.timestamp.max(newest)),
            None => (None, at.timestamp),
        };
        let old = aggregate.clone().filter(|_| self.store.sends_old);
        let new = (self.combine)(at.key, Part::Shared(at.value), aggregate)?;
        self.keep(start, new, old, timestamp, at, out)
    }

    /// Keeps a window's aggregate, and forwards it if that is not left to a flush or to its close.
    fn keep(
        &mut self,
        start: i64,
        new: Option<A>,
        old: Option<A>,
        timestamp: i64,
        at: &Arrival<'_, K, V::Present>,
        out: Out<'_, '_, '_, K, W, A>,
    ) -> Result<()> {
        let (stores, mut write) = out.context().stores(at.timestamp, at.headers.encoded());
        let store = stores.typed::<WindowState<K, A>>(self.store.index)?;
        let kept = store.put(at.key, start, new.as_ref().map(|value| (value, timestamp)), &mut write)?;
        let cached = ResultState::<Windowed<K, W>>::is_cached(store);
        if !kept {
            out.context().drop_record(DropReason::Late);
        } else if self.on_close.is_none() && !cached {
            let window = W::between(start, start + self.difference);
            let key = &mut Some(Windowed { key: at.key.clone(), window });
            let change = &mut Some(Change::new(new, old));
            let (key, value) = (Part::Owned(key), Part::Owned(change));
            out.forward(InFlight { key, value, timestamp, headers: at.headers })?;
        }
        Ok(())
    }

    fn fetch(
        &self,
        key: &K,
        from: i64,
        to: i64,
        order: Order,
        out: Out<'_, '_, '_, K, W, A>,
    ) -> Result<Vec<(i64, A, i64)>> {
        let store = out.context().state.stores.typed::<WindowState<K, A>>(self.store.index)?;
        let rows = store.fetch_range(key, from, to, order)?;
        Ok(rows.into_iter().map(|row| (row.start, row.value, row.timestamp)).collect())
    }

    /// Emits the windows that have closed since the last emission.
    fn emit_closed(
        &mut self,
        close_time: i64,
        headers: &Headers,
        out: Out<'_, '_, '_, K, W, A>,
    ) -> Result<()> {
        let Some(on_close) = &mut self.on_close else { return Ok(()) };
        let Some(last) = on_close.is_due(out.context(), close_time) else { return Ok(()) };
        let from = last.map_or(0, |last| (last - self.difference).max(0));
        // Both ends belong to a window, so it has closed a millisecond after its end.
        let to = close_time - self.difference - 1;
        if to < 0 {
            return Ok(());
        }
        let store = out.context().state.stores.typed::<WindowState<K, A>>(self.store.index)?;
        for (key, row) in store.fetch_all(from, to)? {
            let window = W::between(row.start, row.start + self.difference);
            let (key, change) =
                (&mut Some(Windowed { key, window }), &mut Some(Change::new(Some(row.value), None)));
            let (key, value) = (Part::Owned(key), Part::Owned(change));
            out.forward(InFlight { key, value, timestamp: row.timestamp, headers })?;
        }
        on_close.emitted(out.context(), close_time);
        let store = out.context().state.stores.typed::<WindowState<K, A>>(self.store.index)?;
        store.need_from((close_time - self.difference).max(0))
    }
}
