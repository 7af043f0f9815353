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

    /// Another key and value for each record. What follows and needs records of one key together repartitions them.
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
    pub fn map_values<V2: Item>(&self, mapper: impl Fn(V) -> V2 + Send + Sync + 'static) -> KStream<K, V2> {
        self.mapping_values("map_values", move |_: &K, value| Ok(mapper(value)))
    }

    /// Another value for each record, made with a look at the key.
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

    /// Any number of records for each.
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
    pub fn flat_map_values<I>(&self, mapper: impl Fn(V) -> I + Send + Sync + 'static) -> KStream<K, I::Item>
    where
        I: IntoIterator<Item: Item> + 'static,
    {
        self.flat_mapping_values("flat_map_values", move |_: &K, value| Ok(mapper(value)))
    }

    /// Any number of values for each record, made with a look at the key.
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
    pub fn select_key<K2: Item>(
        &self,
        selector: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
    ) -> KStream<K2, V> {
        let selector = Arc::new(selector);
        let supplier = NodeSupplier::of(move |_| Ok(SelectKey::new(Arc::clone(&selector))));
        KStream::of(self.handle.then("select_key", "KSTREAM-KEY-SELECT-", Effect::CHANGES_KEY, supplier))
    }

    /// Looks at each record and passes it on.
    pub fn peek(&self, look: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        let look = Arc::new(look);
        let supplier = NodeSupplier::of(move |_| Ok(Peek::new(Arc::clone(&look))));
        KStream::of(self.handle.then("peek", "KSTREAM-PEEK-", Effect::KEEPS, supplier))
    }

    /// The records of both streams, in the order in which they are processed.
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

    /// Splits the stream into branches.
    pub fn split(&self) -> Split<K, V> {
        Split::below(&self.handle)
    }
}
