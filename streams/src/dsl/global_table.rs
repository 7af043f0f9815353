//! Global tables: every instance has all rows, whatever tasks it runs.

use std::marker::PhantomData;
use std::sync::Arc;

use super::builder::StreamsBuilder;
use super::graph::{GlobalPlan, Output, PlanNode, result_store};
use super::handle::Handle;
use crate::data::{Data, Nullable, Present};
use crate::dsl::graph::SerdeSlot;
use crate::operators::{ResultStore, TableSource};
use crate::processor::{NodeSupplier, TableTopicSource};
use crate::state::{KeyValue, StoreFor, StoreSettings};
use crate::topic::{Consumed, IntoTopic};
use crate::topology::{NodeKind, SourceDefinition, StoreDefinition};

/// A table of which every instance holds all rows, so that a stream can look up any key in it: see
/// [`join_global`](super::KStream::join_global).
///
/// It is read from all partitions of its topic, to the end before the first record of any stream is processed, and goes
/// on being read beside the streams: which of its updates a record of a stream sees is a matter of time, not of
/// timestamps.
pub struct GlobalKTable<K, V> {
    pub(super) handle: Handle,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for GlobalKTable<K, V> {
    fn clone(&self) -> Self {
        GlobalKTable { handle: self.handle.clone(), types: PhantomData }
    }
}

impl StreamsBuilder {
    /// Reads a topic as a table of which every instance has all rows. A null value deletes the row, a null key is
    /// dropped.
    ///
    /// ```text
    /// countries  (no, Norway) ─────────────▶   all partitions, on every instance
    /// visits     ─────────────── (1, no) ──▶   a partition a task
    /// out        ─────────────── (1, Norway) ▶
    /// ```
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let countries = builder.global_table("countries");
    /// builder.stream("visits").join_global(&countries, |_, code| code.clone(), |_, name| name.clone()).to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("countries").pipe("no", "Norway");
    /// driver.input("visits").pipe("1", "no");
    /// assert_eq!(driver.output("out").read_key_value(), Some((Some("1".to_string()), "Norway".to_string())));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn global_table<T: IntoTopic>(&self, topic: T) -> GlobalKTable<Present<T::Key>, Present<T::Value>>
    where
        T::Key: Nullable,
        T::Value: Nullable,
    {
        self.topic_global_table("global_table", topic.into_consumed(), StoreSettings::unnamed())
    }

    /// Reads a topic as a global table in a queryable store.
    pub fn global_table_with<T: IntoTopic>(
        &self,
        topic: T,
        store: impl StoreFor<KeyValue<Present<T::Key>, Present<T::Value>>>,
    ) -> GlobalKTable<Present<T::Key>, Present<T::Value>>
    where
        T::Key: Nullable,
        T::Value: Nullable,
    {
        self.topic_global_table("global_table_with", topic.into_consumed(), store.into_store().settings)
    }

    fn topic_global_table<K: Nullable, V: Nullable>(
        &self,
        method: &'static str,
        consumed: Consumed<K, V>,
        settings: StoreSettings,
    ) -> GlobalKTable<K::Present, V::Present> {
        let Consumed { topic, name: given, timestamps, offset_reset, on_error } = consumed;
        let (key, value) = (topic.key_serde(), topic.value_serde());
        let key_serde = SerdeSlot::of(K::present_serde(Arc::clone(&key)));
        let value_serde = SerdeSlot::of(V::present_serde(Arc::clone(&value)));
        let source_supplier = NodeSupplier::of_source(move |init| {
            let (key, value) = (Arc::clone(&key), Arc::clone(&value));
            Ok(TableTopicSource::<K, V>::new(key, value, timestamps.clone(), init.queues))
        });
        let topic = topic.name().to_owned();
        let handle = self.record(method, true, move |walk, call| {
            let generated = walk.store_name(Some(&settings), &format!("{topic}-"));
            let store =
                global_store::<K::Present, V::Present>(&settings, generated, &key_serde, &value_serde);
            let given = call.name.as_ref().or(given.as_ref());
            let source_name =
                walk.name(given.map(|name| format!("{name}-source")).as_deref(), "KSTREAM-SOURCE-");
            let name = walk.name(given.map(String::as_str), "KTABLE-SOURCE-");
            let plan = GlobalPlan { store: store.name.clone() };
            let on_error = call.on_error.clone().or_else(|| on_error.clone());
            let (topics, supplier, node_name) = (vec![topic.clone()], source_supplier.clone(), name.clone());
            let node = PlanNode::new(name, move |lowering, _| {
                let definition =
                    SourceDefinition { topics: topics.clone(), pattern: None, offset_reset, global: true };
                let topology = &mut lowering.topology;
                let kind = NodeKind::Source(definition);
                let source = topology.add_node(&source_name, kind, supplier.clone(), &[], on_error.clone());
                let name = store.name.clone();
                let rows = NodeSupplier::of(move |init| {
                    let store = ResultStore::own(init, &name, false)?;
                    Ok(TableSource::<K, Option<V::Present>>::new(Some(store)))
                });
                let node = topology.add_node(&node_name, NodeKind::Processor, rows, &[source], None);
                topology.add_store(store.clone());
                topology.connect(node, &store.name);
                node
            });
            walk.add(node, &[]);
            Output::Global(plan)
        });
        GlobalKTable { handle, types: PhantomData }
    }
}

/// The store of a global table: its topic is its changelog, and its updates are seen at once.
fn global_store<K: Data, V: Data>(
    settings: &StoreSettings,
    generated: Option<String>,
    key_serde: &SerdeSlot,
    value_serde: &SerdeSlot,
) -> StoreDefinition {
    let store = result_store::<K, V>(settings, generated, key_serde, value_serde);
    StoreDefinition { global: true, caching: false, logging: false, ..store }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[test]
    fn rows_are_deleted_and_bad_records_go_where_the_policy_says() {
        const COUNTRIES: Topic<String, i64> = Topic::new("countries");
        let builder = StreamsBuilder::new();
        let countries = builder.global_table_with(COUNTRIES, "people");
        let people = |_: &Option<String>, code: &String| (!code.is_empty()).then(|| code.clone());
        let visits = builder.stream("visits");
        visits.left_join_global(&countries, people, |code, n| format!("{code} {n:?}")).to("out");
        let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
        let seen = |code: &str| {
            driver.input("visits").pipe("k", code);
            driver.output("out").read_key_value().unwrap().1
        };
        driver.input(COUNTRIES).pipe("no", 5);
        assert_eq!(seen("no"), "no Some(5)");
        assert_eq!(seen(""), " None");
        const PEOPLE: Store<KeyValue<String, i64>> = Store::named("people");
        assert_eq!(driver.store(PEOPLE).unwrap().get(&"no".to_string()).unwrap(), Some(5));
        driver.input(COUNTRIES).pipe_tombstone("no");
        assert_eq!(driver.store(PEOPLE).unwrap().all().unwrap().count(), 0);
        assert_eq!(seen("no"), "no None");
        // Not an integer.
        driver.input("countries").pipe("no", "many");
        assert_eq!(seen("no"), "no None");
        assert_eq!(driver.read_raw("app-dead-letter").unwrap().value.unwrap(), "many");
        // Without a key it is no row.
        driver.pipe_raw("countries", RawRecord { value: Some("x".into()), ..RawRecord::default() }).unwrap();
        assert_eq!(driver.dropped_records(), 2);
    }

    #[test]
    fn a_topic_is_read_once() {
        let builder = StreamsBuilder::new();
        let (_, _) = (builder.global_table("t"), builder.stream("t").to("out"));
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains("topic `t` is read by two sources"), "{error}");
    }
}
