//! A stream grouped by key, to be aggregated.

use std::marker::PhantomData;
use std::sync::Arc;

use super::graph::{
    GroupedPlan, Output, PlanNode, SerdeSlot, TableOrigin, TablePlan, TypedRepartition, ViewSlot,
    result_store,
};
use super::handle::{Effect, Handle};
use super::kstream::KStream;
use super::ktable::KTable;
use super::options::Grouped;
use crate::data::{Data, Item, Nullable, Outcome};
use crate::error::Result;
use crate::operators::{Aggregate, ResultStore, SelectKey, StoreGetter, TableView};
use crate::processor::{NodeSupplier, Part};
use crate::state::{KeyValue, Store, StoreFor, StoreSettings};
use crate::topology::NodeKind;

/// A stream whose records of one key are to be aggregated. Null keys are dropped.
pub struct KGroupedStream<K, V> {
    pub(super) handle: Handle,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KGroupedStream<K, V> {
    fn clone(&self) -> Self {
        KGroupedStream::of(self.handle.clone())
    }
}

impl<K, V> KGroupedStream<K, V> {
    fn of(handle: Handle) -> Self {
        KGroupedStream { handle, types: PhantomData }
    }

    /// Names the repartition topic, if one is needed, which all aggregations of this grouping then share.
    pub fn named(self, name: &str) -> Self {
        self.handle.graph.name(self.handle.operation, name);
        self
    }
}

impl<K: Nullable, V: Nullable> KStream<K, V> {
    /// Groups the records by their key. Records with a null key are dropped and counted when they are aggregated.
    ///
    /// ```text
    /// in      (a, 1) ── (b, 2) ── (a, 3) ──▶
    /// groups  a: 1, 3    b: 2
    /// ```
    ///
    /// If the key is not the source's any more (after `map`, `select_key`, ..) the records are repartitioned first.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks").group_by_key();
    /// clicks.count().updates().to("counts");
    /// clicks.reduce(|_, latest| latest).updates().to("latest");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada", "/home");
    /// let counts = driver.output(Topic::<String, i64>::new("counts"));
    /// assert_eq!(counts.read_key_value(), Some(("ada".to_string(), 1)));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn group_by_key(&self) -> KGroupedStream<K::Present, V> {
        self.group_by_key_with(Grouped::new())
    }

    /// Groups the records by their key, with options or just a name.
    pub fn group_by_key_with(
        &self,
        options: impl Into<Grouped<K::Present, V>>,
    ) -> KGroupedStream<K::Present, V> {
        let options = options.into();
        let parent = self.handle.operation;
        KGroupedStream::of(self.handle.record("group_by_key", true, move |walk, call| {
            let stream = walk.stream(parent).clone();
            let name = call.name.clone().or_else(|| options.name.clone());
            Output::Grouped(grouped::<K, V>(stream, name, &options))
        }))
    }

    /// Counts the records of each key. Null keys and null values are dropped.
    ///
    /// ```text
    /// clicks  (ada, /home) ── (bob, /) ── (ada, /help) ──▶
    /// counts  (ada, 1) ────── (bob, 1) ── (ada, 2) ──────▶
    /// ```
    ///
    /// A count has the latest time of the records counted.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream("clicks").count_by_key().to_stream().to("counts");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada", "/home");
    /// driver.input("clicks").pipe("ada", "/help");
    /// let counts = driver.output(Topic::<String, i64>::new("counts"));
    /// assert_eq!(counts.read_key_values(), [("ada".to_string(), 1), ("ada".to_string(), 2)]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn count_by_key(&self) -> KTable<K::Present, i64> {
        self.group_by_key().count()
    }
}

impl<K: Item, V: Nullable> KStream<K, V> {
    /// Groups the records by the key that `selector` picks; `None` drops the record. They are repartitioned.
    ///
    /// ```text
    /// in      (-, tea) ── (-, cup) ── (-, toast) ──▶
    /// groups  t: tea, toast    c: cup
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let by_letter = builder.stream("in").group_by(|_, word| word.chars().next().map(String::from));
    /// by_letter.reduce(|all, word| all + " " + &word).updates().to("words");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// for word in ["tea", "", "toast"] {
    ///     driver.input("in").pipe(None, word);
    /// }
    /// let words: Vec<_> = driver.output("words").read_key_values().into_iter().map(|(_, words)| words).collect();
    /// assert_eq!(words, ["tea", "tea toast"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn group_by<R: Nullable>(
        &self,
        selector: impl Fn(&K, &V) -> R + Send + Sync + 'static,
    ) -> KGroupedStream<R::Present, V> {
        self.group_by_with(selector, Grouped::new())
    }

    /// Groups the records by the key that `selector` picks, with options or just a name.
    pub fn group_by_with<R: Nullable>(
        &self,
        selector: impl Fn(&K, &V) -> R + Send + Sync + 'static,
        options: impl Into<Grouped<R::Present, V>>,
    ) -> KGroupedStream<R::Present, V> {
        let options = options.into();
        let selector = Arc::new(selector);
        let supplier = NodeSupplier::of(move |_| Ok(SelectKey::new(Arc::clone(&selector))));
        let parent = self.handle.operation;
        KGroupedStream::of(self.handle.record("group_by", true, move |walk, call| {
            let given = call.name.clone().or_else(|| options.name.clone());
            let name = walk.name(given.as_deref(), "KSTREAM-KEY-SELECT-");
            let stream = walk.stream(parent).clone();
            let node =
                PlanNode::processor(name, supplier.clone(), call.on_error.clone()).changing(true, false);
            let node = walk.add(node, &[stream.node]);
            let stream = Effect::CHANGES_KEY.on(super::graph::StreamPlan { node, ..stream });
            Output::Grouped(grouped::<R, V>(stream, given, &options))
        }))
    }

    /// Counts the records of each key that `selector` picks; `None` drops the record. They are repartitioned.
    ///
    /// ```text
    /// in      (-, tea) ── (-, cup) ── (-, toast) ──▶
    /// counts  (t, 1) ──── (c, 1) ──── (t, 2) ──────▶
    /// ```
    ///
    /// Null values are dropped. A count has the latest time of the records counted.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream("in").count_by(|_, word| word[..1].to_string()).updates().to("counts");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// for word in ["tea", "cup", "toast"] {
    ///     driver.input("in").pipe(None, word);
    /// }
    /// let counts = driver.output(Topic::<String, i64>::new("counts")).read_key_values();
    /// assert_eq!(counts.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [1, 1, 2]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn count_by<R: Nullable>(
        &self,
        selector: impl Fn(&K, &V) -> R + Send + Sync + 'static,
    ) -> KTable<R::Present, i64> {
        self.group_by(selector).count()
    }
}

fn grouped<K: Nullable, V: Nullable>(
    stream: super::graph::StreamPlan,
    name: Option<String>,
    options: &Grouped<K::Present, V>,
) -> GroupedPlan {
    let key = match &options.key {
        Some(serde) => K::lift_serde(Arc::clone(serde)),
        None => stream.key_serde.or_default::<K>(),
    };
    let value = options.value.clone().unwrap_or_else(|| stream.value_serde.or_default::<V>());
    GroupedPlan {
        name,
        key_serde: SerdeSlot::of(K::present_serde(Arc::clone(&key))),
        value_serde: SerdeSlot::of(Arc::clone(&value)),
        without_null_keys: |supplier| supplier.without_null_keys::<K, V>(),
        types: Arc::new(TypedRepartition { key, value, partitioner: None }),
        shared: None,
        stream,
    }
}

impl<K: Data, V: Nullable> KGroupedStream<K, V> {
    /// Counts the records of each key. Null values are dropped. A count has the latest time of the records counted.
    ///
    /// ```text
    /// in      (a, x) ── (b, y) ── (a, z) ──▶
    /// counts  (a, 1) ── (b, 1) ── (a, 2) ──▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream("in").group_by_key().count().updates().to("counts");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a", "x");
    /// driver.input("in").pipe("a", "z");
    /// let counts = driver.output(Topic::<String, i64>::new("counts"));
    /// assert_eq!(counts.read_key_values(), [("a".to_string(), 1), ("a".to_string(), 2)]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn count(&self) -> KTable<K, i64> {
        self.counted(None)
    }

    /// Counts the records of each key into a queryable store.
    pub fn count_with(&self, store: impl StoreFor<KeyValue<K, i64>>) -> KTable<K, i64> {
        self.counted(Some(store.into_store()))
    }

    fn counted(&self, store: Option<Store<KeyValue<K, i64>>>) -> KTable<K, i64> {
        let count =
            |_: &K, _: Part<'_, V::Present>, n: Option<i64>| Ok(Some(n.unwrap_or(0).saturating_add(1)));
        // Kafka Streams uses up one store name more for a store that is described but not named.
        let extra_number = store.as_ref().is_some_and(|store| store.settings.given_name().is_none());
        self.aggregated("count", "KSTREAM-AGGREGATE-", || Some(0), count, store, extra_number)
    }

    /// Combines the values of each key: the first is taken as it is, each later one is combined with the result so far.
    ///
    /// ```text
    /// in   (k, to) ── (k, be) ────▶
    /// out  (k, to) ── (k, to be) ─▶
    /// ```
    ///
    /// `None` deletes the row, and the next value is a first one again; `Err` goes to the error policy. Null values are dropped.
    /// The result has the latest time of the values in it.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream("in").group_by_key().reduce(|all, word| all + " " + &word).updates().to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("k", "to");
    /// driver.input("in").pipe("k", "be");
    /// let words: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, words)| words).collect();
    /// assert_eq!(words, ["to", "to be"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn reduce<Q: Outcome<V::Present>>(
        &self,
        reducer: impl Fn(V::Present, V::Present) -> Q + Send + Sync + 'static,
    ) -> KTable<K, V::Present> {
        self.reduced(reducer, None)
    }

    /// Combines the values of each key into a queryable store.
    pub fn reduce_with<Q: Outcome<V::Present>>(
        &self,
        reducer: impl Fn(V::Present, V::Present) -> Q + Send + Sync + 'static,
        store: impl StoreFor<KeyValue<K, V::Present>>,
    ) -> KTable<K, V::Present> {
        self.reduced(reducer, Some(store.into_store()))
    }

    fn reduced<Q: Outcome<V::Present>>(
        &self,
        reducer: impl Fn(V::Present, V::Present) -> Q + Send + Sync + 'static,
        store: Option<Store<KeyValue<K, V::Present>>>,
    ) -> KTable<K, V::Present> {
        let combine = move |_: &K, value: Part<'_, V::Present>, so_far: Option<V::Present>| match so_far {
            Some(so_far) => reducer(so_far, value.take()).outcome(),
            None => Ok(Some(value.take())),
        };
        self.aggregated("reduce", "KSTREAM-REDUCE-", || None, combine, store, false)
    }

    /// Aggregates the values of each key, from what `initial` gives.
    ///
    /// ```text
    /// in   (k, 7) ── (k, x) ── (k, 5) ──▶
    /// out  (k, 7) ──────────── (k, 12) ─▶      x is no number
    /// ```
    ///
    /// `None` deletes the row, `Err` goes to the error policy and leaves the row as it is. Null values are dropped. The result has
    /// the latest time of the values in it.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let sums = builder.stream("in").group_by_key().aggregate(|| 0i64, |_, text, sum| text.parse::<i64>().map(|n| sum + n));
    /// sums.updates().to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// for text in ["7", "x", "5"] {
    ///     driver.input("in").pipe("k", text);
    /// }
    /// let sums = driver.output(Topic::<String, i64>::new("out"));
    /// assert_eq!(sums.read_key_values(), [("k".to_string(), 7), ("k".to_string(), 12)]);
    /// assert_eq!(driver.output("app-dead-letter").read_key_value(), Some((Some("k".to_string()), "x".to_string())));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn aggregate<A: Data, Q: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V::Present, A) -> Q + Send + Sync + 'static,
    ) -> KTable<K, A> {
        self.aggregated_with(initial, aggregator, None)
    }

    /// Aggregates the values of each key into a queryable store.
    pub fn aggregate_with<A: Data, Q: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V::Present, A) -> Q + Send + Sync + 'static,
        store: impl StoreFor<KeyValue<K, A>>,
    ) -> KTable<K, A> {
        self.aggregated_with(initial, aggregator, Some(store.into_store()))
    }

    fn aggregated_with<A: Data, Q: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V::Present, A) -> Q + Send + Sync + 'static,
        store: Option<Store<KeyValue<K, A>>>,
    ) -> KTable<K, A> {
        let initial = Arc::new(initial);
        let first = Arc::clone(&initial);
        let combine = move |key: &K, value: Part<'_, V::Present>, so_far: Option<A>| {
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
        store: Option<Store<KeyValue<K, A>>>,
        extra_number: bool,
    ) -> KTable<K, A>
    where
        A: Data,
        I: Fn() -> Option<A> + Send + Sync + 'static,
        F: Fn(&K, Part<'_, V::Present>, Option<A>) -> Result<Option<A>> + Send + Sync + 'static,
    {
        let (initial, combine) = (Arc::new(initial), Arc::new(combine));
        let settings: StoreSettings = store.unwrap_or_else(Store::unnamed).settings;
        let parent = self.handle.operation;
        KTable::of(self.handle.record(method, true, move |walk, call| {
            if extra_number {
                walk.store_name(None, prefix);
            }
            let grouped = walk.grouped(parent).clone();
            let generated = walk.store_name(Some(&settings), prefix);
            let store = result_store::<K, A>(&settings, generated, &grouped.key_serde, &SerdeSlot::none());
            let name = walk.name(call.name.as_deref(), prefix);
            let stream = walk.aggregated_stream(parent, &store.name);
            let table = walk.next_table();
            let (initial, combine, without_null_keys) =
                (initial.clone(), combine.clone(), grouped.without_null_keys);
            let (node_name, store_name, on_error) = (name.clone(), store.name.clone(), call.on_error.clone());
            let node = PlanNode::new(name, move |lowering, parents| {
                let (initial, combine, store) = (initial.clone(), combine.clone(), store_name.clone());
                let sends_old = lowering.tables[table].sends_old;
                let supplier = without_null_keys(NodeSupplier::of(move |init| {
                    let store = ResultStore::own(init, &store, sends_old)?;
                    Ok(Aggregate::<K, V, A, I, F>::new(store, initial.clone(), combine.clone()))
                }));
                let kind = NodeKind::Processor;
                let node = lowering.topology.add_node(&node_name, kind, supplier, parents, on_error.clone());
                lowering.keep_table(table, node);
                node
            });
            let node = walk.add(node, &[stream.node]);
            Output::Table(walk.add_table(TablePlan {
                node,
                origin: TableOrigin::Aggregate,
                value_serde: SerdeSlot::none(),
                key_serde: grouped.key_serde,
                store: Some(store),
                view: ViewSlot::kept::<K, A>(|store| TableView::of_store(store, StoreGetter)),
                sends_old: false,
                topics: stream.topics,
            }))
        }))
    }
}
