//! Tables out of topics and out of streams.

use std::sync::Arc;

use super::builder::StreamsBuilder;
use super::graph::{
    Output, PlanNode, SerdeSlot, TableOrigin, TablePlan, TypedRepartition, ViewSlot, Walk, is_versioned,
    result_store, versioned_store,
};
use super::kstream::KStream;
use super::ktable::{KTable, optional_store};
use crate::data::{Data, Nullable, Present};
use crate::operators::{StoreGetter, TableSource, TableView, VersionedGetter, VersionedSource};
use crate::processor::{NodeSupplier, TableTopicSource};
use crate::state::{TableStore, TableStoreSettings};
use crate::topic::{Consumed, IntoTopic};
use crate::topology::{NodeKind, SourceDefinition, StoreDefinition};

impl StreamsBuilder {
    /// Reads a topic as a table: the newest value of each key.
    ///
    /// ```text
    /// topic  (tea, 10) ── (tea, 12) ── (tea, null) ──▶
    /// table  tea: 10 ──── tea: 12 ──── (no row) ─────▶
    /// ```
    ///
    /// A null value deletes the row, whether or not the topic's type has room for null; a null key is dropped. Newest is what
    /// comes last: a late record overwrites a row of a later time, unless the table is kept in a `Versioned` store
    /// ([`table_with`](StreamsBuilder::table_with)). Kept are only tables that something below asks for.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let prices = builder.table("prices");
    /// builder.stream("orders").join_table(&prices, |order, price| format!("{order} at {price}")).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("prices").pipe("tea", "10");
    /// driver.input("orders").pipe("tea", "a pound");
    /// driver.input("prices").pipe_tombstone("tea");
    /// driver.input("orders").pipe("tea", "a bag");
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(out, ["a pound at 10"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn table<T: IntoTopic>(&self, topic: T) -> KTable<Present<T::Key>, Present<T::Value>>
    where
        T::Key: Nullable,
        T::Value: Nullable,
    {
        self.topic_table(topic.into_consumed(), TableStoreSettings::unnamed())
    }

    /// Reads a topic as a table in a queryable store, which may be one that remembers: with a `Versioned` store a
    /// late update counts for its own time and does not replace a later one, and a stream that is joined with the table
    /// meets each row as it was at the time of the record.
    ///
    /// ```text
    /// prices  (tea, 10)@1s ── (tea, 12)@3s ── (tea, 11)@2s ──────────────────────────▶
    /// orders  ──────────────────────────────────────────────── (tea, a pound)@2.5s ──▶
    /// priced  ──────────────────────────────────────────────── (tea, a pound at 11) ─▶
    /// ```
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// const PRICES: Store<Versioned<String, String>> = Store::named("prices").history(hours(1));
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table_with("prices", PRICES);
    /// builder.stream("orders").join_table(&prices, |order, price| format!("{order} at {price}")).to("priced");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("prices").pipe_at(1_000, "tea", "10");
    /// driver.input("prices").pipe_at(3_000, "tea", "12");
    /// driver.input("prices").pipe_at(2_000, "tea", "11");
    /// for time in [3_500, 2_500, 1_500] {
    ///     driver.input("orders").pipe_at(time, "tea", "a pound");
    /// }
    /// let priced: Vec<_> = driver.output("priced").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(priced, ["a pound at 12", "a pound at 11", "a pound at 10"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn table_with<T: IntoTopic>(
        &self,
        topic: T,
        store: impl TableStore<Present<T::Key>, Present<T::Value>>,
    ) -> KTable<Present<T::Key>, Present<T::Value>>
    where
        T::Key: Nullable,
        T::Value: Nullable,
    {
        self.topic_table(topic.into_consumed(), store.into_table_store())
    }

    fn topic_table<K: Nullable, V: Nullable>(
        &self,
        consumed: Consumed<K, V>,
        store: TableStoreSettings,
    ) -> KTable<K::Present, V::Present> {
        let Consumed { topic, name: given, timestamps, offset_reset, on_error } = consumed;
        let (key, value) = (topic.key_serde(), topic.value_serde());
        let key_serde = SerdeSlot::of(K::present_serde(Arc::clone(&key)));
        let value_serde = SerdeSlot::of(V::present_serde(Arc::clone(&value)));
        let source_supplier = NodeSupplier::of_source(move |init| {
            Ok(TableTopicSource::<K, V>::new(
                Arc::clone(&key),
                Arc::clone(&value),
                timestamps.clone(),
                init.queues,
            ))
        });
        let topic = topic.name().to_owned();
        KTable::of(self.record("table", true, move |walk, call| {
            let generated = walk.store_name(Some(&store.settings), &format!("{topic}-"));
            let is_kept = generated.is_none() || store.versioned;
            let reserved =
                source_store::<K::Present, V::Present>(walk, &store, generated, &key_serde, &value_serde);
            let given = call.name.as_ref().or(given.as_ref());
            let source_name =
                walk.name(given.map(|name| format!("{name}-source")).as_deref(), "KSTREAM-SOURCE-");
            let name = walk.name(given.map(String::as_str), "KTABLE-SOURCE-");
            let table = walk.next_table();
            let (topics, node_name, supplier) = (vec![topic.clone()], name.clone(), source_supplier.clone());
            let on_error = call.on_error.clone().or_else(|| on_error.clone());
            let node = PlanNode::new(name, move |lowering, _| {
                let kind = NodeKind::Source(SourceDefinition {
                    topics: topics.clone(),
                    pattern: None,
                    offset_reset,
                    global: false,
                });
                let (supplier, on_error) = (supplier.clone(), on_error.clone());
                let source = lowering.topology.add_node(&source_name, kind, supplier, &[], on_error.clone());
                write_source::<K, Option<V::Present>>(
                    lowering,
                    &node_name,
                    table,
                    &[source],
                    Some(&topics[0]),
                )
            });
            let node = walk.add(node, &[]);
            Output::Table(walk.add_table(TablePlan {
                node,
                store: is_kept.then(|| reserved.clone()),
                origin: TableOrigin::Source { reserved },
                view: source_view::<K::Present, V::Present>(store.versioned),
                sends_old: false,
                key_serde: key_serde.clone(),
                value_serde: value_serde.clone(),
                topics: vec![topic.clone()],
            }))
        }))
    }
}

impl<K: Nullable, V: Nullable> KStream<K, V> {
    /// The stream as a table: the newest value of each key.
    ///
    /// ```text
    /// stream  (tea, 10) ── (tea, 12) ── (tea, null) ──▶
    /// table   tea: 10 ──── tea: 12 ──── (no row) ─────▶
    /// ```
    ///
    /// A null value deletes the row, a null key is dropped; newest is what comes last. If the key is not the source's any more the
    /// records are repartitioned first.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// const PRICES: Store<KeyValue<String, String>> = Store::named("prices");
    /// builder.stream("offers").filter(|_, price| !price.is_empty()).to_table_with(PRICES);
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// for price in ["10", "", "12"] {
    ///     driver.input("offers").pipe("tea", price);
    /// }
    /// assert_eq!(driver.store(PRICES)?.get(&"tea".to_string())?.as_deref(), Some("12"));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn to_table(&self) -> KTable<K::Present, V::Present> {
        self.made_table(TableStoreSettings::unnamed())
    }

    /// The stream as a table in a queryable store.
    pub fn to_table_with(
        &self,
        store: impl TableStore<K::Present, V::Present>,
    ) -> KTable<K::Present, V::Present> {
        self.made_table(store.into_table_store())
    }

    fn made_table(&self, store: TableStoreSettings) -> KTable<K::Present, V::Present> {
        let parent = self.handle.operation;
        KTable::of(self.handle.record("to_table", true, move |walk, call| {
            let mut stream = walk.stream(parent).clone();
            let name = walk.name(call.name.as_deref(), "KSTREAM-TOTABLE-");
            let generated = walk.store_name(Some(&store.settings), "KSTREAM-TOTABLE-");
            let is_kept = generated.is_none() || store.versioned;
            let (key, value) = (stream.key_serde.or_default::<K>(), stream.value_serde.or_default::<V>());
            let key_serde = SerdeSlot::of(K::present_serde(Arc::clone(&key)));
            let value_serde = SerdeSlot::of(V::present_serde(Arc::clone(&value)));
            let reserved =
                source_store::<K::Present, V::Present>(walk, &store, generated, &key_serde, &value_serde);
            if stream.repartition_required {
                let serdes = (SerdeSlot::of(Arc::clone(&key)), SerdeSlot::of(Arc::clone(&value)));
                let types = Arc::new(TypedRepartition { key, value, partitioner: None });
                let plan = walk.repartition_plan(&name, types, false, None);
                stream = walk.repartitioned(&stream, plan, serdes.0, serdes.1);
            }
            let table = walk.next_table();
            let node_name = name.clone();
            let node = PlanNode::new(name, move |lowering, parents| {
                write_source::<K, V>(lowering, &node_name, table, parents, None)
            });
            let node = walk.add(node, &[stream.node]);
            Output::Table(walk.add_table(TablePlan {
                node,
                store: is_kept.then(|| reserved.clone()),
                origin: TableOrigin::Source { reserved },
                view: source_view::<K::Present, V::Present>(store.versioned),
                sends_old: false,
                key_serde,
                value_serde,
                topics: stream.topics,
            }))
        }))
    }
}

/// Writes the node that turns records into rows.
fn write_source<K: Nullable, V: Nullable>(
    lowering: &mut super::graph::Lowering<'_>,
    name: &str,
    table: super::graph::TableId,
    parents: &[usize],
    topic: Option<&String>,
) -> usize {
    let plan = &lowering.tables[table];
    let versioned = is_versioned(lowering.tables, table);
    let (store, sends_old) = (plan.store.as_ref().map(|store| store.name.clone()), plan.sends_old);
    let supplier = match store {
        Some(store) if versioned => {
            NodeSupplier::of(move |init| Ok(VersionedSource::<K, V>::new(init.store(&store)?, sends_old)))
        }
        store => NodeSupplier::of(move |init| {
            let store = optional_store(init, store.as_deref(), sends_old)?;
            Ok(TableSource::<K, V>::new(store))
        }),
    };
    let node = lowering.topology.add_node(name, NodeKind::Processor, supplier, parents, None);
    // A topic that is not told to keep versions from compaction cannot bring a history back.
    let reused = topic.filter(|_| lowering.optimization.reuse_source_topics && !versioned);
    lowering.keep_table(table, node);
    if let (Some(topic), Some(store)) = (reused, &lowering.tables[table].store) {
        lowering.topology.restore_from(&store.name, topic);
    }
    node
}

/// The store of a table out of a topic or a stream.
fn source_store<K: Data, V: Data>(
    walk: &mut Walk,
    store: &TableStoreSettings,
    generated: Option<String>,
    key_serde: &SerdeSlot,
    value_serde: &SerdeSlot,
) -> StoreDefinition {
    let TableStoreSettings { settings, versioned } = store;
    if !versioned {
        return result_store::<K, V>(settings, generated, key_serde, value_serde);
    }
    let history_ms = settings.history_ms.unwrap_or_else(|| {
        let name = settings.given_name().unwrap_or("without a name");
        walk.faults.push(format!(
            "the versioned store `{name}` does not say how far back its values can be read: give it `.history(..)`"
        ));
        0
    });
    versioned_store::<K, V>(settings, generated, key_serde, value_serde, history_ms)
}

/// How a table out of a topic or a stream is read.
fn source_view<K: Data, V: Data>(versioned: bool) -> ViewSlot {
    if versioned {
        ViewSlot::kept::<K, V>(|store| TableView::of_store(store, VersionedGetter))
    } else {
        ViewSlot::kept::<K, V>(|store| TableView::of_store(store, StoreGetter))
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    const ROWS: Store<Versioned<String, String>> = Store::named("rows").history(millis(100));
    const OUT: Topic<String, Option<String>> = Topic::new("out");

    fn check<R>(
        build: impl Fn(&StreamsBuilder) -> R,
        input: &[(&str, Option<&str>, i64)],
        expected: &[(Option<&str>, i64)],
    ) {
        let builder = StreamsBuilder::new();
        build(&builder);
        let driver = TestDriver::with(&builder.build().unwrap(), TestConfig::new().on_error(fail())).unwrap();
        let piped = driver.input(Topic::<String, Option<String>>::new("in"));
        for (key, value, timestamp) in input {
            piped.pipe_record(Record::new((*key).to_string(), value.map(str::to_owned), *timestamp));
        }
        let out: Vec<_> = driver.output(OUT).read_all();
        let out: Vec<_> = out.iter().map(|record| (record.value.as_deref(), record.timestamp)).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn late_versions_are_told_of_but_too_old_ones() {
        let input = [
            ("k", Some("b"), 200),
            ("k", Some("a"), 150),
            ("k", Some("z"), 99),
            ("k", None, 100),
            ("k", None, 210),
        ];
        let all = [(Some("b"), 200), (Some("a"), 150), (None, 100), (None, 210)];
        check(|b| b.table_with("in", ROWS).to_stream().to(OUT), &input, &all);
        // Below a filter, too: what the table does not hold at a time is worth telling.
        let filtered = [(Some("b"), 200), (None, 150), (None, 100), (None, 210)];
        check(|b| b.table_with("in", ROWS).filter(|_, v| v == "b").to_stream().to(OUT), &input, &filtered);
    }

    #[test]
    fn a_join_of_tables_is_one_of_the_latest_rows() {
        check(
            |b| {
                let rows = b.table_with("in", ROWS);
                let others =
                    b.table_with("other", Store::<Versioned<String, String>>::named("o").history(millis(9)));
                rows.left_join(&others, |row, other| format!("{row} {other:?}")).to_stream().to(OUT);
            },
            &[("k", Some("b"), 200), ("k", Some("a"), 150), ("k", Some("c"), 201)],
            &[(Some("b None"), 200), (Some("c None"), 201)],
        );
    }

    #[test]
    fn what_a_versioned_table_cannot_be_is_said_at_build() {
        for (build, expected) in [
            (
                (|b| {
                    let late = until_time_limit(millis(1), max_records(1));
                    b.table_with("in", ROWS).map_values(|v| v).suppress(late).to_stream().to(OUT);
                }) as fn(&StreamsBuilder),
                "keep the table in a `KeyValue` store",
            ),
            (
                |b| {
                    let rows = Store::<Versioned<String, String>>::named("rows");
                    b.table_with("in", rows).to_stream().to(OUT);
                },
                "give it `.history(..)`",
            ),
        ] {
            let builder = StreamsBuilder::new();
            build(&builder);
            let error = builder.build().unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
