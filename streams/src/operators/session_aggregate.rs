//! Aggregates in sessions, which merge when a record joins them.

use std::marker::PhantomData;
use std::sync::Arc;

use anabranch_state_store::Order;

use super::observed::Observed;
use super::{EmitOnClose, ResultStore};
use crate::data::{Data, Item};
use crate::error::Result;
use crate::headers::Headers;
use crate::processor::{Change, DropReason, Forward, InFlight, NodeInit, Operator, Part};
use crate::state::{ResultState, SessionState};
use crate::window::{SessionWindow, Windowed};
use crate::windows::Session;

/// Keeps what `combine` and `merge` make of the values of each session.
pub(crate) struct SessionAggregate<K, V, A, I, F, M> {
    store: ResultStore<SessionKey<K>>,
    windows: Session,
    observed: Observed,
    on_close: Option<EmitOnClose>,
    initial: Arc<I>,
    combine: Arc<F>,
    merge: Arc<M>,
    types: PhantomData<fn(K, V, A)>,
}

impl<K, V, A, I, F, M> SessionAggregate<K, V, A, I, F, M> {
    pub(crate) fn new(
        init: &mut NodeInit<'_>,
        store: ResultStore<SessionKey<K>>,
        windows: Session,
        on_close: Option<EmitOnClose>,
        (initial, combine, merge): (Arc<I>, Arc<F>, Arc<M>),
    ) -> Self {
        let observed = Observed::new(init.observed_time());
        SessionAggregate { store, windows, observed, on_close, initial, combine, merge, types: PhantomData }
    }
}

type SessionKey<K> = Windowed<K, SessionWindow>;

impl<K, V, A, I, F, M> Operator for SessionAggregate<K, V, A, I, F, M>
where
    K: Data,
    V: Item,
    A: Data,
    I: Fn() -> Option<A> + Send + Sync,
    F: Fn(&K, Part<'_, V>, Option<A>) -> Result<Option<A>> + Send + Sync,
    M: Fn(&K, Option<A>, A) -> Result<Option<A>> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = SessionKey<K>;
    type ValueOut = Change<A>;

    fn process(
        &mut self,
        record: InFlight<'_, K, V>,
        out: &mut Forward<'_, '_, SessionKey<K>, Change<A>>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let (gap, key) = (self.windows.gap_ms(), key.get());
        let index = self.store.index;
        let observed = self.observed.raise(out.context().state, timestamp, |stores, time| {
            stores.typed::<SessionState<K, A>>(index)?.resume_at(time)
        })?;
        let close_time = observed - self.windows.grace_ms() - gap;

        let store = out.context().state.stores.typed::<SessionState<K, A>>(self.store.index)?;
        let merged = store.find(key, timestamp - gap, timestamp.saturating_add(gap), Order::Forward)?;
        let mut window = SessionWindow { start_ms: timestamp, end_ms: timestamp };
        let mut aggregate = (self.initial)();
        for (session, value) in &merged {
            aggregate = (self.merge)(key, aggregate, value.clone())?;
            window.start_ms = window.start_ms.min(session.start_ms);
            window.end_ms = window.end_ms.max(session.end_ms);
        }
        if window.end_ms < close_time {
            out.context().drop_record(DropReason::Late);
            return self.emit_closed(close_time, headers, out);
        }
        if window.start_ms != timestamp || window.end_ms != timestamp {
            for (session, value) in merged {
                let store = out.context().state.stores.typed::<SessionState<K, A>>(self.store.index)?;
                if store.has_expired(session.end_ms)? {
                    store.forget(key, session)?;
                    continue;
                }
                self.keep(key, session, None, Some(value), (timestamp, headers), out)?;
            }
        }
        let aggregate = (self.combine)(key, value, aggregate)?;
        self.keep(key, window, aggregate, None, (timestamp, headers), out)?;
        self.emit_closed(close_time, headers, out)
    }

    fn flush(&mut self, out: &mut Forward<'_, '_, SessionKey<K>, Change<A>>) -> Result<()> {
        self.store.flush::<SessionState<K, A>>(out)
    }
}

impl<K, V, A, I, F, M> SessionAggregate<K, V, A, I, F, M>
where
    K: Data,
    A: Data,
{
    /// Keeps a session's aggregate, or removes a session that was merged away, and forwards that at the session's end if
    /// it is not left to a flush or to its close.
    fn keep(
        &mut self,
        key: &K,
        window: SessionWindow,
        new: Option<A>,
        old: Option<A>,
        (timestamp, headers): (i64, &Headers),
        out: &mut Forward<'_, '_, SessionKey<K>, Change<A>>,
    ) -> Result<()> {
        let (stores, mut write) = out.context().stores(timestamp, headers.encoded());
        let store = stores.typed::<SessionState<K, A>>(self.store.index)?;
        if !store.put(key, window, new.as_ref(), &mut write)? {
            out.context().drop_record(DropReason::Late);
            return Ok(());
        }
        if self.on_close.is_some() || store.is_cached() {
            return Ok(());
        }
        let change = Change::new(new, old.filter(|_| self.store.sends_old));
        let (key, value) = (&mut Some(Windowed { key: key.clone(), window }), &mut Some(change));
        // Without headers, as in Kafka Streams.
        let (key, value, headers) = (Part::Owned(key), Part::Owned(value), &Headers::new());
        out.forward(InFlight { key, value, timestamp: window.end_ms, headers })
    }

    /// Emits the sessions that have closed since the last emission.
    fn emit_closed(
        &mut self,
        close_time: i64,
        headers: &Headers,
        out: &mut Forward<'_, '_, SessionKey<K>, Change<A>>,
    ) -> Result<()> {
        let Some(on_close) = &mut self.on_close else { return Ok(()) };
        let Some(last) = on_close.is_due(out.context(), close_time) else { return Ok(()) };
        let to = close_time - 1;
        if to < 0 {
            return Ok(());
        }
        let store = out.context().state.stores.typed::<SessionState<K, A>>(self.store.index)?;
        for (key, value) in store.find_all(last.unwrap_or(0).max(0), to)? {
            let timestamp = key.window.end_ms;
            let (key, value) = (&mut Some(key), &mut Some(Change::new(Some(value), None)));
            out.forward(InFlight { key: Part::Owned(key), value: Part::Owned(value), timestamp, headers })?;
        }
        on_close.emitted(out.context(), close_time);
        let store = out.context().state.stores.typed::<SessionState<K, A>>(self.store.index)?;
        store.need_from(close_time.max(0))
    }
}
