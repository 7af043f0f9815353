//! Joins of a stream with a table: only the stream's records trigger.

use std::sync::Arc;

use super::KStream;
use crate::data::{Data, Item, Nullable};
use crate::dsl::graph::{Output, PlanNode, SerdeSlot, StreamPlan, TypedRepartition, view};
use crate::dsl::ktable::KTable;
use crate::dsl::options::Joined;
use crate::dsl::same_key::SameKey;
use crate::operators::{StreamTableJoin, StreamTableLeftJoin, TableView};
use crate::processor::NodeSupplier;
use crate::topology::NodeKind;

impl<K: Nullable, V: Nullable> KStream<K, V> {
    /// Each record with the row of its key, as it is when the record is processed. Records without a row, with a null key
    /// or a null value go no further.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let towns = builder.table("towns");
    /// builder.stream("visits").join_table(&towns, |visit, town| format!("{visit} to {town}")).to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("towns").pipe("1", "London");
    /// driver.input("visits").pipe("1", "first");
    /// driver.input("visits").pipe("2", "second");
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(out, ["first to London"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn join_table<KT: SameKey<K> + Data, VT: Data, R: Item>(
        &self,
        table: &KTable<KT, VT>,
        joiner: impl Fn(V::Present, &VT) -> R + Send + Sync + 'static,
    ) -> KStream<K::Present, R> {
        let joiner = move |_: &K::Present, value: V::Present, row: &VT| joiner(value, row);
        self.joined_table("join_table", table, joiner, Joined::new())
    }

    /// [`join_table`](KStream::join_table) with a look at the key and options, or just a name.
    pub fn join_table_with<KT: SameKey<K> + Data, VT: Data, R: Item>(
        &self,
        table: &KTable<KT, VT>,
        joiner: impl Fn(&K::Present, V::Present, &VT) -> R + Send + Sync + 'static,
        options: impl Into<Joined<K::Present, V::Present, VT>>,
    ) -> KStream<K::Present, R> {
        self.joined_table("join_table_with", table, joiner, options.into())
    }

    fn joined_table<KT: Data, VT: Data, R: Item, F>(
        &self,
        method: &'static str,
        table: &KTable<KT, VT>,
        joiner: F,
        options: Joined<K::Present, V::Present, VT>,
    ) -> KStream<K::Present, R>
    where
        F: Fn(&K::Present, V::Present, &VT) -> R + Send + Sync + 'static,
    {
        let joiner = Arc::new(joiner);
        let supplier = move |view: TableView<K::Present, VT>| {
            let joiner = Arc::clone(&joiner);
            NodeSupplier::of(move |init| {
                let getter = view.getter(&|name| init.store(name))?;
                Ok(StreamTableJoin::<K, V, VT, F>::new(getter, Arc::clone(&joiner)))
            })
        };
        self.with_table(method, "KSTREAM-JOIN-", table, options, supplier, |key| {
            key.get::<K>().map_or_else(SerdeSlot::none, |serde| SerdeSlot::of(K::present_serde(serde)))
        })
    }

    /// Each record with the row of its key, if there is one. Records with a null key go through without a row, those with
    /// a null value go no further.
    pub fn left_join_table<KT: SameKey<K> + Data, VT: Data, R: Item>(
        &self,
        table: &KTable<KT, VT>,
        joiner: impl Fn(V::Present, Option<&VT>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        let joiner = move |_: &K, value: V::Present, row: Option<&VT>| joiner(value, row);
        self.left_joined_table("left_join_table", table, joiner, Joined::new())
    }

    /// [`left_join_table`](KStream::left_join_table) with a look at the key and options, or just a name.
    pub fn left_join_table_with<KT: SameKey<K> + Data, VT: Data, R: Item>(
        &self,
        table: &KTable<KT, VT>,
        joiner: impl Fn(&K, V::Present, Option<&VT>) -> R + Send + Sync + 'static,
        options: impl Into<Joined<K::Present, V::Present, VT>>,
    ) -> KStream<K, R> {
        self.left_joined_table("left_join_table_with", table, joiner, options.into())
    }

    fn left_joined_table<KT: Data, VT: Data, R: Item, F>(
        &self,
        method: &'static str,
        table: &KTable<KT, VT>,
        joiner: F,
        options: Joined<K::Present, V::Present, VT>,
    ) -> KStream<K, R>
    where
        F: Fn(&K, V::Present, Option<&VT>) -> R + Send + Sync + 'static,
    {
        let joiner = Arc::new(joiner);
        let supplier = move |view: TableView<K::Present, VT>| {
            let joiner = Arc::clone(&joiner);
            NodeSupplier::of(move |init| {
                let getter = view.getter(&|name| init.store(name))?;
                Ok(StreamTableLeftJoin::<K, V, VT, F>::new(getter, Arc::clone(&joiner)))
            })
        };
        self.with_table(method, "KSTREAM-LEFTJOIN-", table, options, supplier, SerdeSlot::clone)
    }

    fn with_table<KT: Data, VT: Data, KO, R>(
        &self,
        method: &'static str,
        prefix: &'static str,
        table: &KTable<KT, VT>,
        options: Joined<K::Present, V::Present, VT>,
        supplier: impl Fn(TableView<K::Present, VT>) -> NodeSupplier + Send + Sync + 'static,
        key_serde: fn(&SerdeSlot) -> SerdeSlot,
    ) -> KStream<KO, R> {
        self.handle.graph.same_builder(&table.handle.graph, method);
        let (parent, table) = (self.handle.operation, table.handle.operation);
        let is_left = prefix == "KSTREAM-LEFTJOIN-";
        let supplier = Arc::new(supplier);
        KStream::of(self.handle.record(method, true, move |walk, call| {
            let types = |stream: &StreamPlan| {
                let key = options.key.clone().map(K::lift_serde);
                let value = options.value.clone().map(V::lift_serde);
                TypedRepartition {
                    key: key.unwrap_or_else(|| stream.key_serde.or_default::<K>()),
                    value: value.unwrap_or_else(|| stream.value_serde.or_default::<V>()),
                    partitioner: None,
                }
            };
            let given = call.name.as_deref().or(options.name.as_deref());
            let stream = walk.stream_to_join(parent, given, types);
            let table = walk.table(table);
            walk.need_view(table);
            let topics = walk.copartition([stream.topics.clone(), walk.tables[table].topics.clone()]);
            let name = walk.name(given, prefix);
            let (node_name, supplier, on_error) =
                (name.clone(), Arc::clone(&supplier), call.on_error.clone());
            let mut node = PlanNode::new(name, move |lowering, parents| {
                let view = view::<K::Present, VT>(lowering.tables, table);
                let stores = view.stores.clone();
                let topology = &mut lowering.topology;
                let supplier = supplier(view);
                let node =
                    topology.add_node(&node_name, NodeKind::Processor, supplier, parents, on_error.clone());
                stores.iter().for_each(|store| topology.connect(node, store));
                node
            });
            node.keeps_null_keys = is_left;
            Output::Stream(StreamPlan {
                node: walk.add(node, &[stream.node]),
                key_serde: key_serde(&stream.key_serde),
                value_serde: SerdeSlot::none(),
                repartition_required: false,
                topics,
            })
        }))
    }
}
