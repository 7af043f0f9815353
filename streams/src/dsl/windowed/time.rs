//! Windows of time: tumbling, hopping, sliding, unlimited.

use std::sync::Arc;

use super::TimeWindowed;
use super::aggregation::{Aggregation, Closures, Combined, windowed_store};
use crate::data::{Data, Nullable, Outcome};
use crate::dsl::kgrouped_stream::KGroupedStream;
use crate::dsl::ktable::KTable;
use crate::operators::{
    EmitOnClose, ResultStore, SlidingAggregate, TableView, WindowAggregate, WindowGetter,
};
use crate::processor::{NodeSupplier, Part};
use crate::state::{Store, StoreFor, Windows};
use crate::window::Windowed;
use crate::windows::{Cut, TimeWindows};

type Win<K, W> = Windowed<K, <W as TimeWindows>::Window>;

impl<K: Data, V: Nullable, W: TimeWindows> TimeWindowed<KGroupedStream<K, V>, W> {
    /// Counts the records of each key and window.
    ///
    /// ```text
    /// in   ──v@1──────v@11─────v@2──────v@30─────v@3──▶
    /// out  ──1 in 0───1 in 10──2 in 0───1 in 30───────▶      Tumbling::of(millis(10)).grace(millis(5))
    /// ```
    ///
    /// Null keys are dropped; null values count (but for sliding windows, which drop them). A record that comes when its window
    /// and grace are past by stream time is late: it is dropped and counted. A count has the latest time of the records counted.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let windows = Tumbling::of(millis(10)).grace(millis(5));
    /// builder.stream("in").group_by_key().windowed_by(windows).count().updates().map(|key, n| (key.key, n)).to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// let input = driver.input("in");
    /// for time in [1, 11, 2, 30, 3] {
    ///     input.pipe_at(time, "k", "v"); // the last one is late
    /// }
    /// let out = driver.output(Topic::<String, i64>::new("out"));
    /// let counts: Vec<_> = out.read_key_values().into_iter().map(|(_, n)| n).collect();
    /// assert_eq!(counts, [1, 1, 2, 1]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn count(&self) -> KTable<Win<K, W>, i64> {
        self.counted(None)
    }

    /// Counts into a queryable store.
    pub fn count_with(&self, store: impl StoreFor<Windows<K, i64>>) -> KTable<Win<K, W>, i64> {
        self.counted(Some(store.into_store()))
    }

    fn counted(&self, store: Option<Store<Windows<K, i64>>>) -> KTable<Win<K, W>, i64> {
        let combine = |_: &K, _: Part<'_, V>, n: Option<i64>| Ok(Some(n.unwrap_or(0).saturating_add(1)));
        let extra_number = store.as_ref().is_some_and(|store| store.settings.given_name().is_none());
        self.aggregated("count", "KSTREAM-AGGREGATE-", || Some(0), combine, store, extra_number)
    }

    /// Combines the values of each key and window: the first is taken as it is. `None` deletes the row, `Err` goes to the error
    /// policy.
    ///
    /// ```text
    /// in   ──a@1──────b@4──────c@11───────▶
    /// out  ──a in 0───ab in 0──c in 10────▶      Tumbling::of(millis(10))
    /// ```
    ///
    /// Nulls and timestamps are treated as in [`count`](TimeWindowed::count);
    /// a null comes to the reducer where the stream's type has room for it.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let windows = builder.stream("in").group_by_key().windowed_by(Tumbling::of(millis(10)));
    /// windows.reduce(|all, next| all + &next).updates().map(|key, all| (key.window.start_ms, all)).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// for (time, value) in [(1, "a"), (4, "b"), (11, "c")] {
    ///     driver.input("in").pipe_at(time, "k", value);
    /// }
    /// let out: Vec<_> = driver.output(Topic::<i64, String>::new("out")).read_key_values();
    /// assert_eq!(out, [(0, "a".to_string()), (0, "ab".to_string()), (10, "c".to_string())]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn reduce<Q: Outcome<V::Present>>(
        &self,
        reducer: impl Fn(V::Present, V) -> Q + Send + Sync + 'static,
    ) -> KTable<Win<K, W>, V::Present> {
        self.reduced(reducer, None)
    }

    /// Combines into a queryable store.
    pub fn reduce_with<Q: Outcome<V::Present>>(
        &self,
        reducer: impl Fn(V::Present, V) -> Q + Send + Sync + 'static,
        store: impl StoreFor<Windows<K, V::Present>>,
    ) -> KTable<Win<K, W>, V::Present> {
        self.reduced(reducer, Some(store.into_store()))
    }

    fn reduced<Q: Outcome<V::Present>>(
        &self,
        reducer: impl Fn(V::Present, V) -> Q + Send + Sync + 'static,
        store: Option<Store<Windows<K, V::Present>>>,
    ) -> KTable<Win<K, W>, V::Present> {
        let combine = move |_: &K, value: Part<'_, V>, so_far: Option<V::Present>| match so_far {
            Some(so_far) => reducer(so_far, value.take()).outcome(),
            None => Ok(value.take().into_present()),
        };
        self.aggregated("reduce", "KSTREAM-REDUCE-", || None, combine, store, false)
    }

    /// Aggregates the values of each key and window, from what `initial` gives. `None` deletes the row, `Err` goes to the error
    /// policy.
    ///
    /// ```text
    /// in   ──3@1──────4@6───────────────▶
    /// out  ──3 in 0───7 in 0, 4 in 5────▶      Hopping::of(millis(10)).every(millis(5))
    /// ```
    ///
    /// Nulls and timestamps are treated as in [`count`](TimeWindowed::count);
    /// a null comes to the aggregator where the stream's type has room for it.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// # let numbers = Topic::<String, i64>::new("in");
    /// let windows = Hopping::of(millis(10)).every(millis(5));
    /// let sums = builder.stream(&numbers).group_by_key().windowed_by(windows).aggregate(|| 0i64, |_, n, sum| sum + n);
    /// sums.updates().map(|key, sum| (key.window.start_ms, sum)).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input(&numbers).pipe_at(1, "k", 3);
    /// driver.input(&numbers).pipe_at(6, "k", 4);
    /// assert_eq!(driver.output(Topic::<i64, i64>::new("out")).read_key_values(), [(0, 3), (0, 7), (5, 4)]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn aggregate<A: Data, Q: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> Q + Send + Sync + 'static,
    ) -> KTable<Win<K, W>, A> {
        self.aggregated_with(initial, aggregator, None)
    }

    /// Aggregates into a queryable store.
    pub fn aggregate_with<A: Data, Q: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> Q + Send + Sync + 'static,
        store: impl StoreFor<Windows<K, A>>,
    ) -> KTable<Win<K, W>, A> {
        self.aggregated_with(initial, aggregator, Some(store.into_store()))
    }

    fn aggregated_with<A: Data, Q: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> Q + Send + Sync + 'static,
        store: Option<Store<Windows<K, A>>>,
    ) -> KTable<Win<K, W>, A> {
        let initial = Arc::new(initial);
        let first = Arc::clone(&initial);
        let combine = move |key: &K, value: Part<'_, V>, so_far: Option<A>| {
            aggregator(key, value.take(), so_far.unwrap_or_else(|| first())).outcome()
        };
        self.aggregated("aggregate", "KSTREAM-AGGREGATE-", move || Some(initial()), combine, store, false)
    }

    fn aggregated<A, I, F>(
        &self,
        method: &'static str,
        prefix: &'static str,
        initial: I,
        combine: F,
        store: Option<Store<Windows<K, A>>>,
        extra_number: bool,
    ) -> KTable<Win<K, W>, A>
    where
        A: Data,
        I: Fn() -> Option<A> + Send + Sync + 'static,
        F: Fn(&K, Part<'_, V>, Option<A>) -> Combined<A> + Send + Sync + 'static,
    {
        let mut settings = store.unwrap_or_else(Store::unnamed).settings;
        let (cut, on_close) = (self.windows.cut(), self.on_close);
        if on_close && matches!(cut, Cut::Sliding { .. }) {
            settings.caching = Some(false);
        }
        let size_ms = cut.size_ms();
        let hides = on_close && matches!(cut, Cut::Sliding { .. });
        let kept = settings.clone();
        let make_store = move |walk: &mut crate::dsl::graph::Walk, generated, key_serde: &_| {
            windowed_store::<K, A>(walk, &kept, generated, key_serde, cut, hides)
        };
        let closures = Closures { initial: Arc::new(initial), combine: Arc::new(combine) };
        let supplier = move |store: &str, sends_old: bool| match cut {
            Cut::Sliding { difference, grace } => {
                sliding::<K, V, A, W, I, F>(store, sends_old, (difference, grace), on_close, &closures)
            }
            _ => fixed::<K, V, A, W, I, F>(store, sends_old, cut, on_close, &closures),
        };
        let grace_ms = cut.closes_after_ms();
        let aggregation = Aggregation { method, prefix, settings, extra_number, size_ms, grace_ms };
        let view = |store: &str| TableView::of_store(store, WindowGetter);
        aggregation.of::<K, A, W::Window>(
            &self.grouped.handle,
            Box::new(make_store),
            view,
            Arc::new(supplier),
        )
    }
}

/// A node that aggregates in windows that lie where the clock puts them.
pub(in crate::dsl) fn fixed<K, V, A, W, I, F>(
    store: &str,
    sends_old: bool,
    cut: Cut,
    on_close: bool,
    closures: &Closures<I, F>,
) -> NodeSupplier
where
    K: Data,
    V: Nullable,
    A: Data,
    W: TimeWindows,
    I: Fn() -> Option<A> + Send + Sync + 'static,
    F: Fn(&K, Part<'_, V>, Option<A>) -> Combined<A> + Send + Sync + 'static,
{
    let (name, closures) = (store.to_owned(), closures.clone());
    NodeSupplier::of(move |init| {
        let store = ResultStore::own(init, &name, sends_old)?;
        let on_close = on_close.then(|| EmitOnClose::new(init, &name));
        let Closures { initial, combine } = closures.clone();
        Ok(WindowAggregate::<K, V, A, W::Window, I, F>::new(init, store, cut, on_close, initial, combine))
    })
}

/// A node that aggregates in windows that records make.
pub(in crate::dsl) fn sliding<K, V, A, W, I, F>(
    store: &str,
    sends_old: bool,
    windows: (i64, i64),
    on_close: bool,
    closures: &Closures<I, F>,
) -> NodeSupplier
where
    K: Data,
    V: Nullable,
    A: Data,
    W: TimeWindows,
    I: Fn() -> Option<A> + Send + Sync + 'static,
    F: Fn(&K, Part<'_, V>, Option<A>) -> Combined<A> + Send + Sync + 'static,
{
    let name = store.to_owned();
    let Closures { initial, combine } = closures.clone();
    // Sliding windows drop null values before the aggregator, which may have been written for them.
    let combine = Arc::new(move |key: &K, value: Part<'_, V::Present>, so_far: Option<A>| {
        combine(key, Part::Owned(&mut Some(V::from_present(value.take()))), so_far)
    });
    NodeSupplier::of(move |init| {
        let store = ResultStore::own(init, &name, sends_old)?;
        let on_close = on_close.then(|| EmitOnClose::new(init, &name));
        let (initial, combine) = (Arc::clone(&initial), Arc::clone(&combine));
        Ok(SlidingAggregate::<K, V, A, W::Window, _, _>::new(
            init, store, windows, on_close, initial, combine,
        ))
    })
}
