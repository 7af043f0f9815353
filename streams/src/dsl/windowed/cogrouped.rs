//! Cogrouped streams in windows.

use std::sync::Arc;

use super::aggregation::{windowed_key, windowed_store};
use super::session::sessions_store;
use super::{SessionWindowed, TimeWindowed};
use crate::data::{Data, Outcome};
use crate::dsl::cogrouped::{Cogroup, CogroupedKStream, Merger};
use crate::dsl::ktable::KTable;
use crate::operators::{SessionGetter, TableView, WindowGetter};
use crate::state::{Sessions, Store, StoreFor, StoreSettings, Windows};
use crate::window::{SessionWindow, Windowed};
use crate::windows::TimeWindows;

/// Cogrouped streams in windows of time.
pub type TimeWindowedCogroupedKStream<K, A, W> = TimeWindowed<CogroupedKStream<K, A>, W>;

/// Cogrouped streams in sessions.
pub type SessionWindowedCogroupedKStream<K, A> = SessionWindowed<CogroupedKStream<K, A>>;

type Win<K, W> = Windowed<K, <W as TimeWindows>::Window>;

impl<K: Data, A: Data, W: TimeWindows> TimeWindowed<CogroupedKStream<K, A>, W> {
    /// Aggregates the values of each key and window. Each stream judges by its own records which are late.
    ///
    /// ```text
    /// up    ──x@1─────────────────────────▶
    /// down  ──────────x@2────────x@12─────▶
    /// out   ──1 at 0──0 at 0─────-1 at 10─▶      Tumbling::of(millis(10))
    /// ```
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (up, down) = (builder.stream("up").group_by_key(), builder.stream("down").group_by_key());
    /// up.cogroup(|| 0i64, |_, _, n| n + 1)
    ///     .cogroup(&down, |_, _, n| n - 1)
    ///     .windowed_by(Tumbling::of(millis(10)))
    ///     .aggregate()
    ///     .updates()
    ///     .map(|key, n| (key.key, format!("{n} at {}", key.window.start_ms)))
    ///     .to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("up").pipe_at(1, "k", "");
    /// driver.input("down").pipe_at(2, "k", "");
    /// driver.input("down").pipe_at(12, "k", "");
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(out, ["1 at 0", "0 at 0", "-1 at 10"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn aggregate(&self) -> KTable<Win<K, W>, A> {
        self.aggregated("aggregate", StoreSettings::unnamed())
    }

    /// Aggregates into a queryable store.
    pub fn aggregate_with(&self, store: impl StoreFor<Windows<K, A>>) -> KTable<Win<K, W>, A> {
        let store: Store<Windows<K, A>> = store.into_store();
        self.aggregated("aggregate_with", store.settings)
    }

    fn aggregated(&self, method: &'static str, settings: StoreSettings) -> KTable<Win<K, W>, A> {
        let (cut, kept) = (self.windows.cut(), settings.clone());
        let key_settings = settings.clone();
        self.grouped.table(
            Cogroup { method, settings, grace_ms: cut.closes_after_ms() },
            move |walk, generated, key| windowed_store::<K, A>(walk, &kept, generated, key, cut, false),
            |store| TableView::of_store(store, WindowGetter),
            move |key| windowed_key::<K, W::Window>(&key_settings, key, cut.size_ms()),
            move |aggregator, store, sends_old| aggregator.windowed(store, sends_old, cut),
        )
    }
}

impl<K: Data, A: Data> SessionWindowed<CogroupedKStream<K, A>> {
    /// Aggregates the values of each session; `merger` makes one aggregate of those of two sessions, the earlier first. `None`
    /// deletes the row, `Err` goes to the error policy.
    ///
    /// ```text
    /// up    ──x@0─────────────────x@8──▶
    /// down  ───────────x@15────────────▶
    /// out   ──1────────-1─────────1────▶      Session::gap(millis(10)).grace(millis(50))
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let (up, down) = (builder.stream("up").group_by_key(), builder.stream("down").group_by_key());
    /// up.cogroup(|| 0i64, |_, _, n| n + 1)
    ///     .cogroup(&down, |_, _, n| n - 1)
    ///     .windowed_by(Session::gap(millis(10)).grace(millis(50)))
    ///     .aggregate(|_, a, b| a + b)
    ///     .updates()
    ///     .map(|key, n| (key.key, n))
    ///     .to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("up").pipe_at(0, "k", "x");
    /// driver.input("down").pipe_at(15, "k", "x");
    /// driver.input("up").pipe_at(8, "k", "x");
    /// let out = driver.output(Topic::<String, i64>::new("out")).read_key_values();
    /// assert_eq!(out.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [1, -1, 1]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn aggregate<Q: Outcome<A>>(
        &self,
        merger: impl Fn(&K, A, A) -> Q + Send + Sync + 'static,
    ) -> KTable<Windowed<K, SessionWindow>, A> {
        self.aggregated("aggregate", merger, StoreSettings::unnamed())
    }

    /// Aggregates into a queryable store.
    pub fn aggregate_with<Q: Outcome<A>>(
        &self,
        merger: impl Fn(&K, A, A) -> Q + Send + Sync + 'static,
        store: impl StoreFor<Sessions<K, A>>,
    ) -> KTable<Windowed<K, SessionWindow>, A> {
        let store: Store<Sessions<K, A>> = store.into_store();
        self.aggregated("aggregate_with", merger, store.settings)
    }

    fn aggregated<Q: Outcome<A>>(
        &self,
        method: &'static str,
        merger: impl Fn(&K, A, A) -> Q + Send + Sync + 'static,
        settings: StoreSettings,
    ) -> KTable<Windowed<K, SessionWindow>, A> {
        let (windows, kept, initial) = (self.windows, settings.clone(), Arc::clone(&self.grouped.initial));
        let key_settings = settings.clone();
        let merger: Merger<K, A> = Arc::new(move |key: &K, a: Option<A>, b: A| {
            merger(key, a.unwrap_or_else(|| initial()), b).outcome()
        });
        self.grouped.table(
            Cogroup { method, settings, grace_ms: windows.closes_after_ms() },
            move |walk, generated, key| sessions_store::<K, A>(walk, &kept, generated, key, windows, false),
            |store| TableView::of_store(store, SessionGetter),
            move |key| windowed_key::<K, SessionWindow>(&key_settings, key, 0),
            move |aggregator, store, sends_old| {
                aggregator.in_sessions(store, sends_old, windows, Arc::clone(&merger))
            },
        )
    }
}
