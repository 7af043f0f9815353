//! Sessions.

use std::sync::Arc;

use super::SessionWindowed;
use super::aggregation::{Aggregation, Closures, Combined};
use crate::data::{Data, Item, Nullable, Outcome};
use crate::dsl::graph::{SerdeSlot, Walk, session_store};
use crate::dsl::kgrouped_stream::KGroupedStream;
use crate::dsl::ktable::KTable;
use crate::operators::{EmitOnClose, ResultStore, SessionAggregate, SessionGetter, TableView};
use crate::processor::{NodeSupplier, Part};
use crate::state::{Sessions, Store, StoreFor, StoreSettings};
use crate::topology::StoreDefinition;
use crate::window::{SessionWindow, Windowed};
use crate::windows::Session;

type Ses<K> = Windowed<K, SessionWindow>;

impl<K: Data, V: Nullable> SessionWindowed<KGroupedStream<K, V>> {
    /// Counts the records of each session.
    ///
    /// ```text
    /// in   ──v@0────────v@15────────v@8───────▶
    /// out  ──1 in 0..0──1 in 15..15──3 in 0..15▶      Session::gap(millis(10)).grace(millis(50))
    /// ```
    ///
    /// Sessions that a record joins become one: the old ones are deleted, which `to_stream` shows and `updates` leaves out. Null
    /// keys are dropped, null values count. A record that comes when the session that it would make, and the grace, are past by
    /// stream time is late: it is dropped and counted. A count has the time of its session's end.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let sessions = builder.stream("in").group_by_key().windowed_by(Session::gap(millis(10)).grace(millis(50)));
    /// sessions.count().updates().map(|key, n| (key.key, format!("{n} in {}..{}", key.window.start_ms, key.window.end_ms))).to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// for time in [0, 15, 8] {
    ///     driver.input("in").pipe_at(time, "k", "v");
    /// }
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(out, ["1 in 0..0", "1 in 15..15", "3 in 0..15"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn count(&self) -> KTable<Ses<K>, i64> {
        self.counted(None)
    }

    /// Counts into a queryable store.
    pub fn count_with(&self, store: impl StoreFor<Sessions<K, i64>>) -> KTable<Ses<K>, i64> {
        self.counted(Some(store.into_store()))
    }

    fn counted(&self, store: Option<Store<Sessions<K, i64>>>) -> KTable<Ses<K>, i64> {
        let combine = |_: &K, _: Part<'_, V>, n: Option<i64>| Ok(Some(n.unwrap_or(0).saturating_add(1)));
        let merge = |_: &K, a: Option<i64>, b: i64| Ok(Some(a.unwrap_or(0).saturating_add(b)));
        let extra_number = store.as_ref().is_some_and(|store| store.settings.given_name().is_none());
        self.aggregated("count", "KSTREAM-AGGREGATE-", || Some(0), combine, merge, (store, extra_number))
    }

    /// Combines the values of each session: the first is taken as it is; the results of sessions that become one are combined in
    /// the same way. `None` deletes the row, `Err` goes to the error policy.
    ///
    /// ```text
    /// in   ──a@0────────b@15────────c@8────────▶
    /// out  ──a in 0..0──b in 15..15──abc in 0..15▶      Session::gap(millis(10)).grace(millis(50))
    /// ```
    ///
    /// Nulls and timestamps are treated as in [`count`](SessionWindowed::count).
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let sessions = builder.stream("in").group_by_key().windowed_by(Session::gap(millis(10)).grace(millis(50)));
    /// sessions.reduce(|all, next| all + &next).updates().map(|key, all| (key.key, all)).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// for (time, value) in [(0, "a"), (15, "b"), (8, "c")] {
    ///     driver.input("in").pipe_at(time, "k", value);
    /// }
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, all)| all).collect();
    /// assert_eq!(out, ["a", "b", "abc"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn reduce<Q: Outcome<V::Present>>(
        &self,
        reducer: impl Fn(V::Present, V) -> Q + Send + Sync + 'static,
    ) -> KTable<Ses<K>, V::Present> {
        self.reduced(reducer, None)
    }

    /// Combines into a queryable store.
    pub fn reduce_with<Q: Outcome<V::Present>>(
        &self,
        reducer: impl Fn(V::Present, V) -> Q + Send + Sync + 'static,
        store: impl StoreFor<Sessions<K, V::Present>>,
    ) -> KTable<Ses<K>, V::Present> {
        self.reduced(reducer, Some(store.into_store()))
    }

    fn reduced<Q: Outcome<V::Present>>(
        &self,
        reducer: impl Fn(V::Present, V) -> Q + Send + Sync + 'static,
        store: Option<Store<Sessions<K, V::Present>>>,
    ) -> KTable<Ses<K>, V::Present> {
        let reducer = Arc::new(move |so_far: Option<V::Present>, value: V| match so_far {
            Some(so_far) => reducer(so_far, value).outcome(),
            None => Ok(value.into_present()),
        });
        let merger = Arc::clone(&reducer);
        let combine =
            move |_: &K, value: Part<'_, V>, so_far: Option<V::Present>| reducer(so_far, value.take());
        let merge = move |_: &K, a: Option<V::Present>, b: V::Present| merger(a, V::from_present(b));
        self.aggregated("reduce", "KSTREAM-REDUCE-", || None, combine, merge, (store, false))
    }

    /// Aggregates the values of each session, from what `initial` gives; `merger` makes one aggregate of those of two sessions,
    /// the earlier first. `None` deletes the row, `Err` goes to the error policy.
    ///
    /// ```text
    /// in   ──a@0──────b@15──────c@8──────▶
    /// out  ──+a───────+b────────+a|+b+c──▶      Session::gap(millis(10)).grace(millis(50))
    /// ```
    ///
    /// Nulls and timestamps are treated as in [`count`](SessionWindowed::count);
    /// a null comes to the aggregator where the stream's type has room for it.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let sessions = builder.stream("in").group_by_key().windowed_by(Session::gap(millis(10)).grace(millis(50)));
    /// let all = sessions.aggregate(String::new, |_, next, all| all + "+" + &next, |_, a, b| if a.is_empty() { b } else { a + "|" + &b });
    /// all.updates().map(|key, all| (key.key, all)).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// for (time, value) in [(0, "a"), (15, "b"), (8, "c")] {
    ///     driver.input("in").pipe_at(time, "k", value);
    /// }
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, all)| all).collect();
    /// assert_eq!(out, ["+a", "+b", "+a|+b+c"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn aggregate<A: Data, Q: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> Q + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
    ) -> KTable<Ses<K>, A> {
        self.aggregated_with(initial, aggregator, merger, None)
    }

    /// Aggregates into a queryable store.
    pub fn aggregate_with<A: Data, Q: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> Q + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        store: impl StoreFor<Sessions<K, A>>,
    ) -> KTable<Ses<K>, A> {
        self.aggregated_with(initial, aggregator, merger, Some(store.into_store()))
    }

    fn aggregated_with<A: Data, Q: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> Q + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        store: Option<Store<Sessions<K, A>>>,
    ) -> KTable<Ses<K>, A> {
        let initial = Arc::new(initial);
        let (first, merge_first) = (Arc::clone(&initial), Arc::clone(&initial));
        let combine = move |key: &K, value: Part<'_, V>, so_far: Option<A>| {
            aggregator(key, value.take(), so_far.unwrap_or_else(|| first())).outcome()
        };
        let merge =
            move |key: &K, a: Option<A>, b: A| Ok(Some(merger(key, a.unwrap_or_else(|| merge_first()), b)));
        self.aggregated(
            "aggregate",
            "KSTREAM-AGGREGATE-",
            move || Some(initial()),
            combine,
            merge,
            (store, false),
        )
    }

    fn aggregated<A, I, F, M>(
        &self,
        method: &'static str,
        prefix: &'static str,
        initial: I,
        combine: F,
        merge: M,
        (store, extra_number): (Option<Store<Sessions<K, A>>>, bool),
    ) -> KTable<Ses<K>, A>
    where
        A: Data,
        I: Fn() -> Option<A> + Send + Sync + 'static,
        F: Fn(&K, Part<'_, V>, Option<A>) -> Combined<A> + Send + Sync + 'static,
        M: Fn(&K, Option<A>, A) -> Combined<A> + Send + Sync + 'static,
    {
        let mut settings = store.unwrap_or_else(Store::unnamed).settings;
        let (windows, on_close) = (self.windows, self.on_close);
        if on_close {
            settings.caching = Some(false);
        }
        let kept = settings.clone();
        let make_store = move |walk: &mut Walk, generated: Option<String>, key_serde: &SerdeSlot| {
            sessions_store::<K, A>(walk, &kept, generated, key_serde, windows, on_close)
        };
        let closures = Closures { initial: Arc::new(initial), combine: Arc::new(combine) };
        let merge = Arc::new(merge);
        let supplier = move |store: &str, sends_old: bool| {
            session::<K, V, A, I, F, M>(store, sends_old, windows, on_close, &closures, Arc::clone(&merge))
        };
        let grace_ms = self.windows.closes_after_ms();
        let aggregation = Aggregation { method, prefix, settings, extra_number, size_ms: 0, grace_ms };
        let view = |store: &str| TableView::of_store(store, SessionGetter);
        aggregation.of::<K, A, SessionWindow>(
            &self.grouped.handle,
            Box::new(make_store),
            view,
            Arc::new(supplier),
        )
    }
}

/// The store of sessions. `hides`: operators do not see what is older than the retention.
pub(super) fn sessions_store<K: Data, A: Data>(
    walk: &mut Walk,
    settings: &StoreSettings,
    generated: Option<String>,
    key_serde: &SerdeSlot,
    windows: Session,
    hides: bool,
) -> StoreDefinition {
    let least_ms = windows.gap_ms().saturating_add(windows.grace_ms());
    let retention_ms = walk.retention_ms(settings, least_ms);
    session_store::<K, A>(settings, generated, key_serde, (retention_ms, hides))
}

/// A node that aggregates in sessions.
pub(in crate::dsl) fn session<K, V, A, I, F, M>(
    store: &str,
    sends_old: bool,
    windows: Session,
    on_close: bool,
    closures: &Closures<I, F>,
    merge: Arc<M>,
) -> NodeSupplier
where
    K: Data,
    V: Item,
    A: Data,
    I: Fn() -> Option<A> + Send + Sync + 'static,
    F: Fn(&K, Part<'_, V>, Option<A>) -> Combined<A> + Send + Sync + 'static,
    M: Fn(&K, Option<A>, A) -> Combined<A> + Send + Sync + 'static,
{
    let (name, closures) = (store.to_owned(), closures.clone());
    NodeSupplier::of(move |init| {
        let store = ResultStore::own(init, &name, sends_old)?;
        let on_close = on_close.then(|| EmitOnClose::new(init, &name));
        let Closures { initial, combine } = closures.clone();
        let closures = (initial, combine, Arc::clone(&merge));
        Ok(SessionAggregate::<K, V, A, I, F, M>::new(init, store, windows, on_close, closures))
    })
}
