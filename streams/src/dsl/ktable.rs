//! A table: the newest value of each key.

use std::marker::PhantomData;
use std::sync::Arc;

use super::graph::{
    Output, PlanNode, SerdeSlot, StreamPlan, TableId, TableOrigin, TablePlan, ViewSlot, given_serdes,
    is_versioned, view,
};
use super::handle::Handle;
use super::kstream::KStream;
use crate::data::{Data, Nullable};
use crate::error::Result;
use crate::operators::{ResultStore, RowsGetter, StoreGetter, TableMapValues, TableView, ToStream, Updates};
use crate::policy::OnError;
use crate::processor::{NodeInit, NodeSupplier};
use crate::state::{KeyValue, StoreFor, StoreSettings};
use crate::topology::NodeKind;

/// A table of keys `K` and values `V`. A missing row is a deletion: tables hold no nulls.
pub struct KTable<K, V> {
    pub(super) handle: Handle,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        KTable::of(self.handle.clone())
    }
}

impl<K, V> KTable<K, V> {
    pub(super) fn of(handle: Handle) -> Self {
        KTable { handle, types: PhantomData }
    }

    /// Names the operator's node.
    pub fn named(self, name: &str) -> Self {
        self.handle.graph.name(self.handle.operation, name);
        self
    }

    /// What happens to records that fail at the operator; without it the application's policy answers.
    pub fn on_error(self, answer: OnError) -> Self {
        self.handle.graph.on_error(self.handle.operation, answer);
        self
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// The rows that `predicate` accepts. A row that is no longer accepted is deleted.
    ///
    /// ```text
    /// clicks  (ada, 1) ── (ada, 2) ── (ada, 3) ──────▶
    /// few     (ada, 1) ── (ada, 2) ── (ada, null) ───▶      filter(|_, n| *n < 3)
    /// ```
    ///
    /// A deletion goes through where the row was there. A row keeps its time.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream("clicks").count_by_key().filter(|_, n| *n < 3).to_stream().to("few");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// let clicks = driver.input("clicks");
    /// for _ in 0..4 {
    ///     clicks.pipe("ada", "/");
    /// }
    /// let few = driver.output(Topic::<String, Option<i64>>::new("few"));
    /// let counts: Vec<_> = few.read_key_values().into_iter().map(|(_, n)| n).collect();
    /// assert_eq!(counts, [Some(1), Some(2), None]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filtered("filter", predicate, None)
    }

    /// The rows that `predicate` accepts, in a queryable store.
    pub fn filter_with(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        store: impl StoreFor<KeyValue<K, V>>,
    ) -> Self {
        self.filtered("filter_with", predicate, Some(store.into_store().settings))
    }

    /// The rows that `predicate` refuses: otherwise as [`filter`](KTable::filter).
    ///
    /// ```text
    /// clicks  (ada, 1) ── (ada, 2) ── (ada, 3) ──▶
    /// many    ─────────────────────── (ada, 3) ──▶      filter_not(|_, n| *n < 3)
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream("clicks").count_by_key().filter_not(|_, n| *n < 3).updates().to("many");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// for _ in 0..3 {
    ///     driver.input("clicks").pipe("ada", "/");
    /// }
    /// let many = driver.output(Topic::<String, i64>::new("many"));
    /// assert_eq!(many.read_key_values(), [("ada".to_string(), 3)]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn filter_not(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filtered("filter_not", move |key: &K, value: &V| !predicate(key, value), None)
    }

    /// The rows that `predicate` refuses, in a queryable store.
    pub fn filter_not_with(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        store: impl StoreFor<KeyValue<K, V>>,
    ) -> Self {
        let refuses = move |key: &K, value: &V| !predicate(key, value);
        self.filtered("filter_not_with", refuses, Some(store.into_store().settings))
    }

    fn filtered(
        &self,
        method: &'static str,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        settings: Option<StoreSettings>,
    ) -> Self {
        let keep = move |key: &K, value: V| Ok(predicate(key, &value).then_some(value));
        self.rows(method, "KTABLE-FILTER-", keep, settings, true)
    }

    /// Another value for each row; `None` deletes it.
    ///
    /// ```text
    /// prices  (tea, 10) ── (cup, 5) ── (tea, null) ──▶
    /// out     (tea, 20) ── (cup, 10) ─ (tea, null) ──▶
    /// ```
    ///
    /// Deletions are not shown to `mapper`: they go through. A row keeps its time. The table is kept nowhere: who looks a row up
    /// reads the one that it is made of, and maps that.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// # let (prices, out) = (Topic::<String, i64>::new("prices"), Topic::<String, Option<i64>>::new("out"));
    /// builder.table(&prices).map_values(|price| price * 2).to_stream().to(&out);
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input(&prices).pipe("tea", 10);
    /// driver.input(&prices).pipe_tombstone("tea");
    /// let rows = driver.output(&out).read_key_values();
    /// assert_eq!(rows, [("tea".to_string(), Some(20)), ("tea".to_string(), None)]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn map_values<R: Nullable>(
        &self,
        mapper: impl Fn(V) -> R + Send + Sync + 'static,
    ) -> KTable<K, R::Present> {
        let map = move |_: &K, value: V| Ok(mapper(value).into_present());
        self.rows("map_values", "KTABLE-MAPVALUES-", map, None, false)
    }

    /// Another value for each row, by a closure that is also given the key, in a queryable store.
    pub fn map_values_with<R: Nullable>(
        &self,
        mapper: impl Fn(&K, V) -> R + Send + Sync + 'static,
        store: impl StoreFor<KeyValue<K, R::Present>>,
    ) -> KTable<K, R::Present> {
        let map = move |key: &K, value: V| Ok(mapper(key, value).into_present());
        self.rows("map_values_with", "KTABLE-MAPVALUES-", map, Some(store.into_store().settings), false)
    }

    /// A table made of this one, row by row. A filter keeps the serdes and is quiet.
    fn rows<V2: Data, F>(
        &self,
        method: &'static str,
        prefix: &'static str,
        mapper: F,
        settings: Option<StoreSettings>,
        filter: bool,
    ) -> KTable<K, V2>
    where
        F: Fn(&K, V) -> Result<Option<V2>> + Send + Sync + 'static,
    {
        let mapper = Arc::new(mapper);
        let parent = self.handle.operation;
        KTable::of(self.handle.record(method, true, move |walk, call| {
            let parent = walk.table(parent);
            let TablePlan { node: above, key_serde, value_serde, topics, .. } = &walk.tables[parent];
            let (above, topics) = (*above, topics.clone());
            let inherited = filter.then(|| value_serde.clone());
            let (key_serde, value_serde) =
                given_serdes::<K, V2>(settings.as_ref(), key_serde.clone(), inherited);
            let store = walk.named_result::<K, V2>(settings.as_ref(), prefix, &key_serde, &value_serde);
            let name = walk.name(call.name.as_deref(), prefix);
            // A filter of a table that is kept in a store anyway asks for old values on its own account: it then tells
            // nothing of rows that never were in it.
            let sends_old = filter && walk.send_old(parent, false);
            let table = walk.next_table();
            let view = rows_view::<K, V, V2, F>(parent, Arc::clone(&mapper));
            let (node_name, mapper, on_error) = (name.clone(), Arc::clone(&mapper), call.on_error.clone());
            let node = PlanNode::new(name, move |lowering, parents| {
                let (mapper, plan) = (Arc::clone(&mapper), &lowering.tables[table]);
                let (store, sends_old) =
                    (plan.store.as_ref().map(|store| store.name.clone()), plan.sends_old);
                // A version that is not in the new table may lie behind one that is: it is told of.
                let quiet = filter && !is_versioned(lowering.tables, parent);
                let supplier = NodeSupplier::of(move |init| {
                    let store = optional_store(init, store.as_deref(), sends_old)?;
                    Ok(TableMapValues::<K, V, V2, F>::new(Arc::clone(&mapper), store, sends_old, quiet))
                });
                let kind = NodeKind::Processor;
                let node = lowering.topology.add_node(&node_name, kind, supplier, parents, on_error.clone());
                lowering.keep_table(table, node);
                node
            });
            let node = walk.add(node, &[above]);
            Output::Table(walk.add_table(TablePlan {
                node,
                origin: TableOrigin::Rows { parent },
                view,
                store,
                sends_old,
                key_serde,
                value_serde,
                topics,
            }))
        }))
    }

    /// Every update of a row; a deletion is `None`. [`updates`](KTable::updates) leaves deletions out.
    ///
    /// ```text
    /// table   tea: 10 ──── tea: 12 ──── tea deleted ───▶
    /// stream  (tea, 10) ── (tea, 12) ── (tea, null) ───▶
    /// ```
    ///
    /// Each has the time of its row. Updates that come close together may be one where the table is kept in a cached store.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.table("prices").to_stream().to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("prices").pipe("tea", "10");
    /// driver.input("prices").pipe_tombstone("tea");
    /// let out = driver.output(Topic::<String, Option<String>>::new("out")).read_key_values();
    /// assert_eq!(out, [("tea".to_string(), Some("10".to_string())), ("tea".to_string(), None)]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn to_stream(&self) -> KStream<K, Option<V>> {
        self.streamed("to_stream", NodeSupplier::of(|_| Ok(ToStream::<K, V>::new())), |serde| {
            serde.widened::<V>()
        })
    }

    /// Every update of a row that is no deletion: [`to_stream`](KTable::to_stream) without the nulls, and a type that says so.
    ///
    /// ```text
    /// table   tea: 10 ──── tea: 12 ──── tea deleted ───▶
    /// stream  (tea, 10) ── (tea, 12) ──────────────────▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream("clicks").count_by_key().updates().map_values(|n| n + 1).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada", "/");
    /// assert_eq!(driver.output(Topic::<String, i64>::new("out")).read_key_value(), Some(("ada".to_string(), 2)));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn updates(&self) -> KStream<K, V> {
        self.streamed("updates", NodeSupplier::of(|_| Ok(Updates::<K, V>::new())), |serde| serde.clone())
    }

    fn streamed<V2>(
        &self,
        method: &'static str,
        supplier: NodeSupplier,
        value_serde: fn(&SerdeSlot) -> SerdeSlot,
    ) -> KStream<K, V2> {
        let parent = self.handle.operation;
        KStream::of(self.handle.record(method, true, move |walk, call| {
            let name = walk.name(call.name.as_deref(), "KTABLE-TOSTREAM-");
            let table = walk.table(parent);
            let node = PlanNode::processor(name, supplier.clone(), call.on_error.clone());
            let node = walk.add(node, &[walk.tables[table].node]);
            let table = &walk.tables[table];
            Output::Stream(StreamPlan {
                node,
                key_serde: table.key_serde.clone(),
                value_serde: value_serde(&table.value_serde),
                repartition_required: false,
                topics: table.topics.clone(),
            })
        }))
    }
}

/// A table made of another row by row is read through the other, unless it is kept.
fn rows_view<K: Data, V: Data, V2: Data, F>(parent: TableId, mapper: Arc<F>) -> ViewSlot
where
    F: Fn(&K, V) -> Result<Option<V2>> + Send + Sync + 'static,
{
    let derived = move |tables: &[TablePlan]| {
        let inner = view::<K, V>(tables, parent);
        let mapper = Arc::clone(&mapper);
        TableView::new(inner.stores.clone(), move |init| {
            Ok(Box::new(RowsGetter { inner: inner.getter(init)?, mapper: Arc::clone(&mapper) }))
        })
    };
    ViewSlot::derived::<K, V2>(|store| TableView::of_store(store, StoreGetter), derived)
}

/// The store that a node keeps its result in, if there is one.
pub(super) fn optional_store<K: Data>(
    init: &mut NodeInit<'_>,
    name: Option<&str>,
    sends_old: bool,
) -> Result<Option<ResultStore<K>>> {
    name.map(|name| ResultStore::own(init, name, sends_old)).transpose()
}
