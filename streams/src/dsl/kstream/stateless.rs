//! Operators that keep nothing.

use std::sync::Arc;

use super::KStream;
use crate::data::Item;
use crate::dsl::graph::{Output, PlanNode, SerdeSlot, StreamPlan};
use crate::dsl::handle::Effect;
use crate::dsl::split::Split;
use crate::error::Result;
use crate::operators::{Filter, FlatMap, FlatMapValues, Map, MapValues, Pass, Peek, SelectKey};
use crate::processor::NodeSupplier;

impl<K: Item, V: Item> KStream<K, V> {
    /// The records that `predicate` accepts.
    ///
    /// ```text
    /// in   (k, to) ── (k, not) ── (k, be) ──▶
    /// out  ────────── (k, not) ─────────────▶
    /// ```
    ///
    /// Nulls are shown to it where the stream's types have room for them. Key, time and headers stay as they are.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream("in").filter(|_, word| word.len() > 2).to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// let (input, output) = (driver.input("in"), driver.output("out"));
    /// input.pipe("k", "to");
    /// input.pipe("k", "not");
    /// assert_eq!(output.read_key_values(), [(Some("k".to_string()), "not".to_string())]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filtering("filter", move |key: &K, value: &V| Ok(predicate(key, value)), true)
    }

    /// The records that `predicate` refuses.
    ///
    /// ```text
    /// in   (k, to) ── (k, not) ── (k, be) ──▶
    /// out  (k, to) ────────────── (k, be) ──▶      filter_not(|_, word| word.len() > 2)
    /// ```
    ///
    /// Nulls and timestamps are treated as in [`filter`](KStream::filter).
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream("in").filter_not(|_, word| word.len() > 2).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// for word in ["to", "not"] {
    ///     driver.input("in").pipe(None, word);
    /// }
    /// assert_eq!(driver.output("out").read_key_values(), [(None, "to".to_string())]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn filter_not(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filtering("filter_not", move |key: &K, value: &V| Ok(predicate(key, value)), false)
    }

    pub(super) fn filtering<F>(&self, method: &'static str, predicate: F, keep: bool) -> Self
    where
        F: Fn(&K, &V) -> Result<bool> + Send + Sync + 'static,
    {
        let predicate = Arc::new(predicate);
        let supplier = NodeSupplier::of(move |_| Ok(Filter::new(Arc::clone(&predicate), keep)));
        KStream::of(self.handle.then(method, "KSTREAM-FILTER-", Effect::KEEPS, supplier))
    }

    /// Another key and value for each record. What follows and needs records of one key together repartitions them;
    /// [`map_values`](KStream::map_values), which cannot change keys, spares that.
    ///
    /// ```text
    /// in   (-, four) ── (-, to) ──▶
    /// out  (4, four) ── (2, to) ──▶
    /// ```
    ///
    /// Nulls come to `mapper` and leave it as the types say. Time and headers stay as they are.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream("in").map(|_, word| (word.len() as i64, word)).to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None, "four");
    /// let output = driver.output(Topic::<i64, String>::new("out"));
    /// assert_eq!(output.read_key_value(), Some((4, "four".to_string())));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn map<K2: Item, V2: Item>(
        &self,
        mapper: impl Fn(K, V) -> (K2, V2) + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        self.mapping("map", move |key, value| Ok(mapper(key, value)))
    }

    pub(super) fn mapping<K2: Item, V2: Item, F>(&self, method: &'static str, mapper: F) -> KStream<K2, V2>
    where
        F: Fn(K, V) -> Result<(K2, V2)> + Send + Sync + 'static,
    {
        let mapper = Arc::new(mapper);
        let supplier = NodeSupplier::of(move |_| Ok(Map::new(Arc::clone(&mapper))));
        KStream::of(self.handle.then(method, "KSTREAM-MAP-", Effect::CHANGES_BOTH, supplier))
    }

    /// Another value for each record.
    ///
    /// ```text
    /// in   (k, to) ── (k, null) ──▶
    /// out  (k, TO) ── (k, null) ──▶
    /// ```
    ///
    /// A null value comes to `mapper` as `None` where the stream's type has room for it. Key, time and headers stay as they are,
    /// so what follows need not be repartitioned.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// const IN: Topic<Option<String>, Option<String>> = Topic::new("in");
    /// let builder = StreamsBuilder::new();
    /// builder.stream(IN).map_values(|value| value.map(|word| word.to_uppercase())).to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input(IN).pipe("k", "to");
    /// driver.input(IN).pipe("k", None);
    /// let values: Vec<_> = driver.output(Topic::<Option<String>, Option<String>>::new("out")).read_key_values();
    /// assert_eq!(values.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), [Some("TO".to_string()), None]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn map_values<V2: Item>(&self, mapper: impl Fn(V) -> V2 + Send + Sync + 'static) -> KStream<K, V2> {
        self.mapping_values("map_values", move |_: &K, value| Ok(mapper(value)))
    }

    /// Another value for each record, made by a closure that is also given the key: otherwise as
    /// [`map_values`](KStream::map_values).
    ///
    /// ```text
    /// in   (tea, 3) ──────▶
    /// out  (tea, 3 tea) ──▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// # let (orders, out) = (Topic::<String, i64>::new("orders"), Topic::<String, String>::new("out"));
    /// builder.stream(&orders).map_values_with_key(|item, n| format!("{n} {item}")).to(&out);
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input(&orders).pipe("tea", 3);
    /// assert_eq!(driver.output(&out).read_key_value(), Some(("tea".to_string(), "3 tea".to_string())));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn map_values_with_key<V2: Item>(
        &self,
        mapper: impl Fn(&K, V) -> V2 + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        self.mapping_values("map_values_with_key", move |key: &K, value| Ok(mapper(key, value)))
    }

    pub(super) fn mapping_values<V2: Item, F>(&self, method: &'static str, mapper: F) -> KStream<K, V2>
    where
        F: Fn(&K, V) -> Result<V2> + Send + Sync + 'static,
    {
        let mapper = Arc::new(mapper);
        let supplier = NodeSupplier::of(move |_| Ok(MapValues::new(Arc::clone(&mapper))));
        KStream::of(self.handle.then(method, "KSTREAM-MAPVALUES-", Effect::CHANGES_VALUE, supplier))
    }

    /// Any number of records for each, none included. What follows and needs records of one key together repartitions them.
    ///
    /// ```text
    /// in   (-, a=1 b=2) ────────── (-, ) ──▶
    /// out  (a, 1) (b, 2) ──────────────────▶
    /// ```
    ///
    /// Each of them has the time and the headers of the record that it is made of.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let pairs = |text: String| {
    ///     let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
    ///     pairs.map(|(key, value)| (key.to_string(), value.to_string())).collect::<Vec<_>>()
    /// };
    /// builder.stream("in").flat_map(move |_, text| pairs(text)).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None, "a=1 b=2");
    /// let out = driver.output(Topic::<String, String>::new("out")).read_key_values();
    /// assert_eq!(out, [("a".to_string(), "1".to_string()), ("b".to_string(), "2".to_string())]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn flat_map<I, K2: Item, V2: Item>(
        &self,
        mapper: impl Fn(K, V) -> I + Send + Sync + 'static,
    ) -> KStream<K2, V2>
    where
        I: IntoIterator<Item = (K2, V2)> + 'static,
    {
        let mapper = Arc::new(move |key, value| Ok(mapper(key, value)));
        let supplier = NodeSupplier::of(move |_| Ok(FlatMap::new(Arc::clone(&mapper))));
        KStream::of(self.handle.then("flat_map", "KSTREAM-FLATMAP-", Effect::CHANGES_BOTH, supplier))
    }

    /// Any number of values for each record, under its key. The iterator owns what it gives: `collect` what borrows.
    ///
    /// ```text
    /// in   (k, to be) ────────────── (k, ) ──▶
    /// out  (k, to) (k, be) ──────────────────▶
    /// ```
    ///
    /// A null value comes to `mapper` as `None` where the stream's type has room for it. Each record has the key, the time and the
    /// headers of the one that it is made of.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder
    ///     .stream("in")
    ///     .flat_map_values(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    ///     .to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("k", "to be");
    /// let words: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, word)| word).collect();
    /// assert_eq!(words, ["to", "be"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn flat_map_values<I>(&self, mapper: impl Fn(V) -> I + Send + Sync + 'static) -> KStream<K, I::Item>
    where
        I: IntoIterator<Item: Item> + 'static,
    {
        self.flat_mapping_values("flat_map_values", move |_: &K, value| Ok(mapper(value)))
    }

    /// Any number of values for each record, made by a closure that is also given the key: otherwise as
    /// [`flat_map_values`](KStream::flat_map_values).
    ///
    /// ```text
    /// in   (2, ab) ─────────▶
    /// out  (2, ab) (2, ab) ─▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// # let topic = Topic::<i64, String>::new("in");
    /// let twice = builder.stream(&topic).flat_map_values_with_key(|n, text| vec![text; *n as usize]);
    /// twice.to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input(&topic).pipe(2, "ab");
    /// assert_eq!(driver.output(Topic::<i64, String>::new("out")).read_all().len(), 2);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn flat_map_values_with_key<I>(
        &self,
        mapper: impl Fn(&K, V) -> I + Send + Sync + 'static,
    ) -> KStream<K, I::Item>
    where
        I: IntoIterator<Item: Item> + 'static,
    {
        self.flat_mapping_values("flat_map_values_with_key", move |key: &K, value| Ok(mapper(key, value)))
    }

    pub(super) fn flat_mapping_values<I, F>(&self, method: &'static str, mapper: F) -> KStream<K, I::Item>
    where
        I: IntoIterator<Item: Item> + 'static,
        F: Fn(&K, V) -> Result<I> + Send + Sync + 'static,
    {
        let mapper = Arc::new(mapper);
        let supplier = NodeSupplier::of(move |_| Ok(FlatMapValues::new(Arc::clone(&mapper))));
        KStream::of(self.handle.then(method, "KSTREAM-FLATMAPVALUES-", Effect::CHANGES_VALUE, supplier))
    }

    /// Another key for each record. What follows and needs records of one key together repartitions them.
    ///
    /// ```text
    /// in   (-, tea) ── (-, toast) ──▶
    /// out  (3, tea) ── (5, toast) ──▶
    /// ```
    ///
    /// The selector may give an `Option`: `None` is a null key. Value, time and headers stay as they are.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream("in").select_key(|_, word| word.len() as i64).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None, "tea");
    /// let out = driver.output(Topic::<i64, String>::new("out"));
    /// assert_eq!(out.read_key_value(), Some((3, "tea".to_string())));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn select_key<K2: Item>(
        &self,
        selector: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
    ) -> KStream<K2, V> {
        let selector = Arc::new(selector);
        let supplier = NodeSupplier::of(move |_| Ok(SelectKey::new(Arc::clone(&selector))));
        KStream::of(self.handle.then("select_key", "KSTREAM-KEY-SELECT-", Effect::CHANGES_KEY, supplier))
    }

    /// Looks at each record and passes it on, as it is, nulls included. What `look` does is not undone when records are processed
    /// again after a failure.
    ///
    /// ```text
    /// in   (k, a) ── (k, b) ──▶
    ///        ↓ look    ↓ look
    /// out  (k, a) ── (k, b) ──▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # use std::sync::atomic::{AtomicUsize, Ordering};
    /// # let builder = StreamsBuilder::new();
    /// static SEEN: AtomicUsize = AtomicUsize::new(0);
    /// builder.stream("in").peek(|_, _| drop(SEEN.fetch_add(1, Ordering::Relaxed))).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None, "a");
    /// assert_eq!(driver.output("out").read_key_value(), Some((None, "a".to_string())));
    /// assert_eq!(SEEN.load(Ordering::Relaxed), 1);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn peek(&self, look: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        let look = Arc::new(look);
        let supplier = NodeSupplier::of(move |_| Ok(Peek::new(Arc::clone(&look))));
        KStream::of(self.handle.then("peek", "KSTREAM-PEEK-", Effect::KEEPS, supplier))
    }

    /// The records of both streams, as they are, in the order in which they are processed: of one partition in its order, between
    /// the two streams by time as far as both have records at hand.
    ///
    /// ```text
    /// a    (k, 1) ─────────── (k, 3) ──▶
    /// b    ───────── (k, 2) ───────────▶
    /// out  (k, 1) ── (k, 2) ─ (k, 3) ──▶
    /// ```
    ///
    /// The types must be the same: [`with_nullable_keys`](KStream::with_nullable_keys) and
    /// [`with_nullable_values`](KStream::with_nullable_values) make room for null on one side.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream("a").merge(&builder.stream("b")).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("a").pipe(None, "1");
    /// driver.input("b").pipe(None, "2");
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, value)| value).collect();
    /// assert_eq!(out, ["1", "2"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn merge(&self, other: &KStream<K, V>) -> Self {
        if !self.handle.graph.same_builder(&other.handle.graph, "merge") {
            return self.clone();
        }
        let (this, that) = (self.handle.operation, other.handle.operation);
        KStream::of(self.handle.record("merge", true, move |walk, call| {
            let name = walk.name(call.name.as_deref(), "KSTREAM-MERGE-");
            let (this, that) = (walk.stream(this).clone(), walk.stream(that).clone());
            let node = PlanNode::merge(name, NodeSupplier::of(|_| Ok(Pass::<K, V>::new())));
            let mut topics = this.topics;
            topics.extend(that.topics);
            Output::Stream(StreamPlan {
                node: walk.add(node, &[this.node, that.node]),
                key_serde: SerdeSlot::none(),
                value_serde: SerdeSlot::none(),
                repartition_required: this.repartition_required || that.repartition_required,
                topics,
            })
        }))
    }

    /// Splits the stream into branches: each record, as it is, goes to the first branch that takes it, or to the default branch,
    /// or nowhere.
    ///
    /// ```text
    /// log     (-, ERROR disk) ── (-, INFO up) ──▶
    /// errors  (-, ERROR disk) ──────────────────▶
    /// rest    ────────────────── (-, INFO up) ──▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let log = builder.stream("log").split();
    /// log.branch(|_, line| line.starts_with("ERROR")).to("errors");
    /// log.default_branch().to("rest");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("log").pipe(None, "ERROR disk");
    /// driver.input("log").pipe(None, "INFO up");
    /// assert_eq!(driver.output("errors").read_key_value(), Some((None, "ERROR disk".to_string())));
    /// assert_eq!(driver.output("rest").read_key_value(), Some((None, "INFO up".to_string())));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn split(&self) -> Split<K, V> {
        Split::below(&self.handle)
    }
}
