//! Joins of a stream with a table: only the stream's records trigger.

use std::sync::Arc;

use super::KStream;
use crate::data::{Data, Item, Nullable};
use crate::dsl::graph::{
    Output, PlanNode, SerdeSlot, StreamPlan, TypedRepartition, grace_store, is_versioned, view,
};
use crate::dsl::ktable::KTable;
use crate::dsl::options::Joined;
use crate::dsl::same_key::SameKey;
use crate::error::Result;
use crate::operators::{Grace, GraceJoin, StreamTableJoin, StreamTableLeftJoin, TableView};
use crate::processor::{NodeInit, NodeSupplier, Operator};
use crate::time::as_ms;
use crate::topology::NodeKind;

impl<K: Nullable, V: Nullable> KStream<K, V> {
    /// Each record with the row of its key, as it is when the record is processed. Records without a row, with a null key
    /// or a null value go no further.
    ///
    /// ```text
    /// towns   (1, London) ──────────────────────────────────▶
    /// visits  ───────────── (1, first) ──────── (2, second) ▶
    /// out     ───────────── (1, first to London) ───────────▶
    /// ```
    ///
    /// The result has the time of the record; an update of the table makes none.
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

    /// [`join_table`](KStream::join_table) whose closure is also given the key, with options or just a name.
    ///
    /// With a grace, records wait for updates of the table that come late:
    ///
    /// ```text
    /// prices  ────────────────────── (assam, 12)@4s ──────────────────────▶
    /// orders  (assam, a pound)@5s ─────────────────── (assam, a bag)@7s ──▶
    /// priced  ─────────────────────────────────────── (assam, a pound at 12)@5s ▶
    /// ```
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table_with("prices", Store::<Versioned<String, String>>::named("prices").history(hours(1)));
    /// let late = Joined::named("price").grace(seconds(2));
    /// builder.stream("orders").join_table_with(&prices, |tea, order, price| format!("{order} of {tea} at {price}"), late).to("priced");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe_at(5_000, "assam", "a pound");
    /// driver.input("prices").pipe_at(4_000, "assam", "12");
    /// driver.input("orders").pipe_at(7_000, "assam", "a bag");
    /// let priced: Vec<_> = driver.output("priced").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(priced, ["a pound of assam at 12"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
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
        let supplier = move |view: TableView<K::Present, VT>, grace: Option<Grace>| {
            let joiner = Arc::clone(&joiner);
            with_grace(grace, move |init| {
                let getter = view.getter(init)?;
                Ok(StreamTableJoin::<K, V, VT, F>::new(getter, Arc::clone(&joiner)))
            })
        };
        self.with_table(method, "KSTREAM-JOIN-", table, options, supplier, |key| {
            key.get::<K>().map_or_else(SerdeSlot::none, |serde| SerdeSlot::of(K::present_serde(serde)))
        })
    }

    /// Each record with the row of its key, if there is one.
    ///
    /// ```text
    /// users   ──────────────── (ada, London) ──────────────────▶
    /// clicks  (ada, home) ────────────────────── (ada, help) ──▶
    /// out     (ada, home -) ──────────────────── (ada, help London) ▶
    /// ```
    ///
    /// Records with a null key go through without a row, those with a null value go no further. The result has the time of the
    /// record; an update of the table makes none.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let users = builder.table("users");
    /// builder.stream("clicks").left_join_table(&users, |click, town| format!("{click} {}", town.map_or("-", |t| t))).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada", "home");
    /// driver.input("users").pipe("ada", "London");
    /// driver.input("clicks").pipe("ada", "help");
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(out, ["home -", "help London"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn left_join_table<KT: SameKey<K> + Data, VT: Data, R: Item>(
        &self,
        table: &KTable<KT, VT>,
        joiner: impl Fn(V::Present, Option<&VT>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        let joiner = move |_: &K, value: V::Present, row: Option<&VT>| joiner(value, row);
        self.left_joined_table("left_join_table", table, joiner, Joined::new())
    }

    /// [`left_join_table`](KStream::left_join_table) whose closure is also given the key, with options or just a name.
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
        let supplier = move |view: TableView<K::Present, VT>, grace: Option<Grace>| {
            let joiner = Arc::clone(&joiner);
            with_grace(grace, move |init| {
                let getter = view.getter(init)?;
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
        supplier: impl Fn(TableView<K::Present, VT>, Option<Grace>) -> NodeSupplier + Send + Sync + 'static,
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
            let buffer = options.grace.map(|grace| {
                if !is_versioned(&walk.tables, table) {
                    walk.faults.push(format!(
                        "`{name}` has a grace, but its table knows the latest rows only: keep the table in a `Versioned` store"
                    ));
                }
                let TypedRepartition { key, value, .. } = types(&stream);
                let store = format!("{name}-Buffer");
                let definition = grace_store(&store, K::present_serde(key), V::present_serde(value));
                (definition, Grace { store, grace_ms: as_ms(grace) })
            });
            let mut node = PlanNode::new(name, move |lowering, parents| {
                let view = view::<K::Present, VT>(lowering.tables, table);
                let stores = view.stores.clone();
                let topology = &mut lowering.topology;
                let supplier = supplier(view, buffer.as_ref().map(|(_, grace)| grace.clone()));
                let node =
                    topology.add_node(&node_name, NodeKind::Processor, supplier, parents, on_error.clone());
                stores.iter().for_each(|store| topology.connect(node, store));
                if let Some((store, _)) = &buffer {
                    topology.add_store(store.clone());
                    topology.connect(node, &store.name);
                }
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

/// The join itself, behind a buffer if it has a grace.
fn with_grace<K, V, J>(
    grace: Option<Grace>,
    make: impl Fn(&mut NodeInit<'_>) -> Result<J> + Send + Sync + 'static,
) -> NodeSupplier
where
    K: Nullable,
    V: Nullable,
    J: Operator<KeyIn = K, ValueIn = V> + 'static,
{
    match grace {
        None => NodeSupplier::of(make),
        Some(grace) => NodeSupplier::of(move |init| {
            let join = make(init)?;
            GraceJoin::new(init, join, &grace)
        }),
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[test]
    fn a_grace_needs_a_table_that_remembers() {
        let builder = StreamsBuilder::new();
        let table = builder.table_with("in", "t").map_values(|v| v);
        let joined = Joined::named("jn").grace(millis(5));
        builder.stream("left").left_join_table_with(&table, |_, l, r| format!("{l}{r:?}"), joined).to("out");
        let error = builder.build().unwrap_err();
        assert!(error.to_string().contains("`jn` has a grace"), "{error}");
    }

    #[test]
    fn what_cannot_wait_is_joined_at_once() {
        let builder = StreamsBuilder::new();
        let rows = Store::<Versioned<String, String>>::named("rows").history(seconds(1));
        let table = builder.table_with("in", rows);
        let joined = Joined::named("jn").grace(millis(10));
        let text =
            |_: &Option<String>, l: String, r: Option<&String>| format!("{l} {}", r.map_or("-", |r| r));
        builder.stream("left").left_join_table_with(&table, text, joined).to("out");
        let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
        let left = driver.input("left");
        driver.input("in").pipe_at(0, "k", "row");
        left.pipe_at(50, "k", "waits");
        left.pipe_at(39, "k", "old");
        left.pipe_at(45, None, "no key");
        left.pipe_at(40, "k", "due");
        left.pipe_at(60, "x", "later");
        let out: Vec<_> =
            driver.output("out").read_all().into_iter().map(|r| (r.value, r.timestamp)).collect();
        let expected = [("old row", 39), ("no key -", 45), ("due row", 40), ("waits row", 50)];
        assert_eq!(out, expected.map(|(text, time)| (text.to_string(), time)));
    }
}
