//! Tables out of topics and out of streams.

use std::sync::Arc;

use super::builder::StreamsBuilder;
use super::graph::{
    Output, PlanNode, SerdeSlot, TableOrigin, TablePlan, TypedRepartition, ViewSlot, result_store,
};
use super::kstream::KStream;
use super::ktable::{KTable, optional_store};
use crate::data::{Nullable, Present};
use crate::operators::{StoreGetter, TableSource, TableView};
use crate::processor::{NodeSupplier, TableTopicSource};
use crate::state::{StoreSettings, TableStore, TableStoreSettings};
use crate::topic::{Consumed, IntoTopic};
use crate::topology::{NodeKind, SourceDefinition};

impl StreamsBuilder {
    /// Reads a topic as a table: the newest value of each key; a null value deletes the row, a null key is dropped.
    pub fn table<T: IntoTopic>(&self, topic: T) -> KTable<Present<T::Key>, Present<T::Value>>
    where
        T::Key: Nullable,
        T::Value: Nullable,
    {
        self.topic_table(topic.into_consumed(), StoreSettings::unnamed())
    }

    /// Reads a topic as a table in a store that can be asked.
    pub fn table_with<T: IntoTopic>(
        &self,
        topic: T,
        store: impl TableStore<Present<T::Key>, Present<T::Value>>,
    ) -> KTable<Present<T::Key>, Present<T::Value>>
    where
        T::Key: Nullable,
        T::Value: Nullable,
    {
        let TableStoreSettings { settings } = store.into_table_store();
        self.topic_table(topic.into_consumed(), settings)
    }

    fn topic_table<K: Nullable, V: Nullable>(
        &self,
        consumed: Consumed<K, V>,
        settings: StoreSettings,
    ) -> KTable<K::Present, V::Present> {
        let Consumed { topic, name: given, extractor, offset_reset, on_error } = consumed;
        let (key, value) = (topic.key_serde(), topic.value_serde());
        let key_serde = SerdeSlot::of(K::present_serde(Arc::clone(&key)));
        let value_serde = SerdeSlot::of(V::present_serde(Arc::clone(&value)));
        let source_supplier = NodeSupplier::of_source(move |init| {
            Ok(TableTopicSource::<K, V>::new(
                Arc::clone(&key),
                Arc::clone(&value),
                extractor.clone(),
                init.queues,
            ))
        });
        let topic = topic.name().to_owned();
        KTable::of(self.record("table", true, move |walk, call| {
            let generated = walk.store_name(Some(&settings), &format!("{topic}-"));
            let is_named = generated.is_none();
            let reserved =
                result_store::<K::Present, V::Present>(&settings, generated, &key_serde, &value_serde);
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
                store: is_named.then(|| reserved.clone()),
                origin: TableOrigin::Source { reserved },
                view: ViewSlot::kept::<K::Present, V::Present>(|store| {
                    TableView::of_store(store, StoreGetter)
                }),
                sends_old: false,
                key_serde: key_serde.clone(),
                value_serde: value_serde.clone(),
                topics: vec![topic.clone()],
            }))
        }))
    }
}

impl<K: Nullable, V: Nullable> KStream<K, V> {
    /// The stream as a table: the newest value of each key; a null value deletes the row, a null key is dropped.
    pub fn to_table(&self) -> KTable<K::Present, V::Present> {
        self.made_table(StoreSettings::unnamed())
    }

    /// The stream as a table in a store that can be asked.
    pub fn to_table_with(
        &self,
        store: impl TableStore<K::Present, V::Present>,
    ) -> KTable<K::Present, V::Present> {
        let TableStoreSettings { settings } = store.into_table_store();
        self.made_table(settings)
    }

    fn made_table(&self, settings: StoreSettings) -> KTable<K::Present, V::Present> {
        let parent = self.handle.operation;
        KTable::of(self.handle.record("to_table", true, move |walk, call| {
            let mut stream = walk.stream(parent).clone();
            let name = walk.name(call.name.as_deref(), "KSTREAM-TOTABLE-");
            let generated = walk.store_name(Some(&settings), "KSTREAM-TOTABLE-");
            let is_named = generated.is_none();
            let (key, value) = (stream.key_serde.or_default::<K>(), stream.value_serde.or_default::<V>());
            let key_serde = SerdeSlot::of(K::present_serde(Arc::clone(&key)));
            let value_serde = SerdeSlot::of(V::present_serde(Arc::clone(&value)));
            let reserved =
                result_store::<K::Present, V::Present>(&settings, generated, &key_serde, &value_serde);
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
                store: is_named.then(|| reserved.clone()),
                origin: TableOrigin::Source { reserved },
                view: ViewSlot::kept::<K::Present, V::Present>(|store| {
                    TableView::of_store(store, StoreGetter)
                }),
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
    let (store, sends_old) = (plan.store.as_ref().map(|store| store.name.clone()), plan.sends_old);
    let supplier = NodeSupplier::of(move |init| {
        let store = optional_store(init, store.as_deref(), sends_old)?;
        Ok(TableSource::<K, V>::new(store))
    });
    let node = lowering.topology.add_node(name, NodeKind::Processor, supplier, parents, None);
    let reused = topic.filter(|_| lowering.optimization.reuse_source_topics);
    lowering.keep_table(table, node);
    if let (Some(topic), Some(store)) = (reused, &lowering.tables[table].store) {
        lowering.topology.restore_from(&store.name, topic);
    }
    node
}
