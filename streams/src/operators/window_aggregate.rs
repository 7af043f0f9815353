//! Aggregates in windows that lie where the clock puts them: tumbling, hopping, unlimited.

use std::marker::PhantomData;
use std::sync::Arc;

use super::observed::Observed;
use super::{EmitOnClose, ResultStore};
use crate::data::{Data, Item};
use crate::error::Result;
use crate::headers::Headers;
use crate::processor::{Change, DropReason, Forward, InFlight, NodeInit, Operator, Part};
use crate::state::{ResultState, Updated, WindowState};
use crate::window::{Window, Windowed};
use crate::windows::Cut;

/// Keeps, for each window of a record, what `combine` makes of the old aggregate and the value. A window takes records
/// until the highest time seen here has passed its end and grace.
pub(crate) struct WindowAggregate<K, V, A, W, I, F> {
    store: ResultStore<Windowed<K, W>>,
    cut: Cut,
    observed: Observed,
    on_close: Option<EmitOnClose>,
    initial: Arc<I>,
    combine: Arc<F>,
    types: PhantomData<fn(K, V, A, W)>,
}

impl<K, V, A, W, I, F> WindowAggregate<K, V, A, W, I, F> {
    pub(crate) fn new(
        init: &mut NodeInit<'_>,
        store: ResultStore<Windowed<K, W>>,
        cut: Cut,
        on_close: Option<EmitOnClose>,
        initial: Arc<I>,
        combine: Arc<F>,
    ) -> Self {
        let observed = Observed::new(init.observed_time());
        WindowAggregate { store, cut, observed, on_close, initial, combine, types: PhantomData }
    }

    /// Where the windows of a time begin.
    fn starts(&self, timestamp: i64) -> impl Iterator<Item = i64> + use<K, V, A, W, I, F> {
        let (first, step) = match self.cut {
            Cut::Fixed { size, advance, .. } => {
                ((timestamp.saturating_sub(size).saturating_add(advance)).max(0) / advance * advance, advance)
            }
            Cut::Unlimited { start } => (start, i64::MAX),
            Cut::Sliding { .. } => (i64::MAX, i64::MAX),
        };
        let next = move |start: &i64| start.checked_add(step);
        std::iter::successors(Some(first), next).take_while(move |start| *start <= timestamp)
    }
}

impl<K, V, A, W, I, F> Operator for WindowAggregate<K, V, A, W, I, F>
where
    K: Data,
    V: Item,
    A: Data,
    W: Window,
    I: Fn() -> Option<A> + Send + Sync,
    F: Fn(&K, Part<'_, V>, Option<A>) -> Result<Option<A>> + Send + Sync,
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
        if let Some(last) = self.on_close.as_mut().and_then(|on_close| on_close.first_asked(out.context())) {
            let store = out.context().state.stores.typed::<WindowState<K, A>>(self.store.index)?;
            store.need_from(last.map_or(0, |last| (last - self.cut.size_ms()).max(0) + 1))?;
        }
        let index = self.store.index;
        let observed = self.observed.raise(out.context().state, timestamp, |stores, time| {
            stores.typed::<WindowState<K, A>>(index)?.resume_at(time)
        })?;
        let close_time = observed - self.cut.grace_ms();
        for start in self.starts(timestamp) {
            let end = start.saturating_add(self.cut.size_ms());
            if end <= close_time {
                out.context().drop_record(DropReason::Late);
                continue;
            }
            let ResultStore { index, sends_old, .. } = self.store;
            let (stores, mut write) = out.context().stores(timestamp, headers.encoded());
            let store = stores.typed::<WindowState<K, A>>(index)?;
            let forwards = self.on_close.is_none() && !ResultState::<Windowed<K, W>>::is_cached(store);
            let (mut old, mut at) = (None, timestamp);
            let updated = store.update(key.get(), start, &mut write, |row| {
                let aggregate = match row {
                    Some((aggregate, time)) => {
                        at = at.max(time);
                        Some(aggregate)
                    }
                    None => (self.initial)(),
                };
                if forwards && sends_old {
                    old = aggregate.clone();
                }
                Ok(match (self.combine)(key.get(), value.shared(), aggregate)? {
                    Some(aggregate) => Updated::Put(aggregate, at),
                    None => Updated::Deleted,
                })
            })?;
            let new = match updated {
                Some(Updated::Put(aggregate, _)) => Some(aggregate),
                Some(Updated::Deleted) => None,
                None => {
                    out.context().drop_record(DropReason::Late);
                    continue;
                }
            };
            if forwards {
                let key = &mut Some(Windowed { key: key.get().clone(), window: W::between(start, end) });
                let change = &mut Some(Change::new(new, old));
                out.forward(InFlight {
                    key: Part::Owned(key),
                    value: Part::Owned(change),
                    timestamp: at,
                    headers,
                })?;
            }
        }
        self.emit_closed(close_time, headers, out)
    }

    fn flush(&mut self, out: &mut Forward<'_, '_, Windowed<K, W>, Change<A>>) -> Result<()> {
        if self.on_close.is_some() {
            // Updates are logged only: results come when their window has closed.
            let (stores, mut write) = out.context().stores(-1, &[]);
            return stores.get(self.store.index).flush(&mut write);
        }
        self.store.flush::<WindowState<K, A>>(out)
    }
}

impl<K, V, A, W, I, F> WindowAggregate<K, V, A, W, I, F>
where
    K: Data,
    A: Data,
    W: Window,
{
    /// Emits the windows that have closed since the last emission.
    fn emit_closed(
        &mut self,
        close_time: i64,
        headers: &Headers,
        out: &mut Forward<'_, '_, Windowed<K, W>, Change<A>>,
    ) -> Result<()> {
        let Some(on_close) = &mut self.on_close else { return Ok(()) };
        let Cut::Fixed { size, advance, .. } = self.cut else { return Ok(()) };
        let Some(last) = on_close.is_due(out.context(), close_time) else { return Ok(()) };
        let from = last.map_or(0, |last| (last - size).max(0) + 1);
        let to = close_time - size;
        // Most records close no window: then nothing begins in between.
        if to < 0 || (from + advance - 1) / advance * advance > to {
            return Ok(());
        }
        let store = out.context().state.stores.typed::<WindowState<K, A>>(self.store.index)?;
        for (key, row) in store.fetch_all(from, to)? {
            let window = W::between(row.start, row.start.saturating_add(size));
            let (key, change) =
                (&mut Some(Windowed { key, window }), &mut Some(Change::new(Some(row.value), None)));
            let (key, value) = (Part::Owned(key), Part::Owned(change));
            out.forward(InFlight { key, value, timestamp: row.timestamp, headers })?;
        }
        on_close.emitted(out.context(), close_time);
        let store = out.context().state.stores.typed::<WindowState<K, A>>(self.store.index)?;
        store.need_from((close_time - size).max(0) + 1)
    }
}
