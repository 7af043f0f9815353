//! Adding nodes by hand: handles carry types, so that wiring is checked as in the DSL.

use std::marker::PhantomData;
use std::sync::Arc;

use super::{NodeKind, SinkTopic, SourceDefinition, TopicPattern, Topology};
use crate::data::{Item, Nullable};
use crate::processor::{DynamicSink, NodeSupplier, TopicSink, TopicSource};
use crate::record::RecordMetadata;
use crate::serdes::Serde;
use crate::topic::{Consumed, Fits, IntoTopic, Sink, WriterOf};

/// A node that forwards keys `K` and values `V`.
pub struct NodeRef<K, V> {
    pub(crate) index: usize,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> NodeRef<K, V> {
    pub(crate) fn at(index: usize) -> Self {
        NodeRef { index, types: PhantomData }
    }
}

impl<K, V> Clone for NodeRef<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for NodeRef<K, V> {}

/// One node, or an array of nodes, that forward keys `K` and values `V`.
#[diagnostic::on_unimplemented(message = "a node of keys `{K}` and values `{V}` cannot follow `{Self}`")]
pub trait Parents<K, V> {
    /// Their indexes.
    #[doc(hidden)]
    fn indexes(&self) -> Vec<usize>;
}

impl<K, V> Parents<K, V> for NodeRef<K, V> {
    fn indexes(&self) -> Vec<usize> {
        vec![self.index]
    }
}

impl<K, V, const N: usize> Parents<K, V> for [NodeRef<K, V>; N] {
    fn indexes(&self) -> Vec<usize> {
        self.iter().map(|node| node.index).collect()
    }
}

impl Topology {
    /// Adds a node that reads a topic.
    pub fn add_source<T: IntoTopic>(&mut self, name: &str, topic: T) -> NodeRef<T::Key, T::Value> {
        self.add_source_of(name, topic.into_consumed(), |topic| (vec![topic], None))
    }

    /// Adds a node that reads all topics whose names match a pattern: the name of `topic`. See
    /// [`StreamsBuilder::stream_matching`](crate::dsl::StreamsBuilder::stream_matching).
    pub fn add_source_matching<T: IntoTopic>(&mut self, name: &str, topic: T) -> NodeRef<T::Key, T::Value> {
        let by_pattern = |pattern: String| (Vec::new(), Some(TopicPattern::new(&pattern)));
        self.add_source_of(name, topic.into_consumed(), by_pattern)
    }

    fn add_source_of<K: Item, V: Item>(
        &mut self,
        name: &str,
        consumed: Consumed<K, V>,
        reads: impl FnOnce(String) -> (Vec<String>, Option<TopicPattern>),
    ) -> NodeRef<K, V> {
        let (key, value) = (consumed.topic.key_serde(), consumed.topic.value_serde());
        let timestamps = consumed.timestamps;
        let supplier = NodeSupplier::of_source(move |init| {
            Ok(TopicSource::new(key.clone(), value.clone(), timestamps.clone(), init.queues))
        });
        let (topics, pattern) = reads(consumed.topic.name.into_owned());
        let source = SourceDefinition { topics, pattern, offset_reset: consumed.offset_reset, global: false };
        NodeRef::at(self.add_node(name, NodeKind::Source(source), supplier, &[], consumed.on_error))
    }

    /// Adds a node that writes to a topic.
    pub fn add_sink<K: Item, V: Item>(
        &mut self,
        name: &str,
        topic: impl Sink<K, V>,
        parents: impl Parents<K, V>,
    ) {
        let sink = topic.into_sink();
        let (key, value) = (own(sink.key), own(sink.value));
        let (to, partitioner) = (sink.topic.clone(), sink.partitioner);
        let supplier = NodeSupplier::of(move |init| {
            let topic = init.out_topic(&to);
            Ok(TopicSink::new(topic, key.clone(), value.clone(), partitioner.clone()))
        });
        self.add_node(
            name,
            NodeKind::Sink(SinkTopic::Static(sink.topic)),
            supplier,
            &parents.indexes(),
            sink.on_error,
        );
    }

    /// Adds a node that writes each record to the topic that `choose` names, with the default serdes. Such topics must exist.
    /// Kafka Streams calls the closure a `TopicNameExtractor`.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let mut topology = Topology::new();
    /// let words = topology.add_source("words", Topic::<Option<String>, String>::new("in"));
    /// topology.add_sink_by("sorted", |_, word, _| if word.len() > 3 { "long" } else { "short" }, words);
    ///
    /// let driver = TestDriver::new(&topology)?;
    /// driver.input("in").pipe(None, "tea");
    /// driver.input("in").pipe(None, "toast");
    /// assert_eq!(driver.output("short").read_key_value(), Some((None, "tea".to_string())));
    /// assert_eq!(driver.output("long").read_key_value(), Some((None, "toast".to_string())));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn add_sink_by<K: Nullable, V: Nullable, T: AsRef<str> + 'static>(
        &mut self,
        name: &str,
        choose: impl Fn(&K, &V, &RecordMetadata) -> T + Send + Sync + 'static,
        parents: impl Parents<K, V>,
    ) {
        self.add_dynamic_sink(name, (K::default_serde(), V::default_serde()), choose, &parents.indexes());
    }

    /// As [`add_sink_by`](Topology::add_sink_by), with serdes of yours for keys and values.
    pub fn add_sink_by_with<K: Nullable, V: Nullable, T: AsRef<str> + 'static>(
        &mut self,
        name: &str,
        key: impl Serde<K>,
        value: impl Serde<V>,
        choose: impl Fn(&K, &V, &RecordMetadata) -> T + Send + Sync + 'static,
        parents: impl Parents<K, V>,
    ) {
        self.add_dynamic_sink(name, (Arc::new(key), Arc::new(value)), choose, &parents.indexes());
    }

    fn add_dynamic_sink<K: Nullable, V: Nullable, T: AsRef<str> + 'static>(
        &mut self,
        name: &str,
        (key, value): (Arc<dyn Serde<K>>, Arc<dyn Serde<V>>),
        choose: impl Fn(&K, &V, &RecordMetadata) -> T + Send + Sync + 'static,
        parents: &[usize],
    ) {
        let (key, value) = (<K as Fits<K>>::writer(key), <V as Fits<V>>::writer(value));
        let choose = Arc::new(choose);
        let supplier = NodeSupplier::of(move |_| {
            Ok(DynamicSink::new(Arc::clone(&choose), Arc::clone(&key), Arc::clone(&value)))
        });
        self.add_node(name, NodeKind::Sink(SinkTopic::Dynamic), supplier, parents, None);
    }
}

/// By hand nothing is inherited: a sink given by name writes with the default serdes.
fn own<T: Item>(writer: WriterOf<T>) -> Arc<dyn crate::topic::Writer<T>> {
    match writer {
        WriterOf::Own(writer) => writer,
        WriterOf::Inherited(default) => <T as Fits<T>>::writer(default()),
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[test]
    fn a_sink_may_choose_its_topic_per_record() {
        let mut topology = Topology::new();
        let numbers = topology.add_source("numbers", Topic::<String, i64>::new("in"));
        let by_key = |key: &String, _: &i64, from: &RecordMetadata| format!("{}-{key}", from.topic);
        topology.add_sink_by("by-key", by_key, numbers);
        topology.add_sink_by_with("as-text", Text, Json, |_, _, _| "text", numbers);
        let expected = [
            "Topologies:",
            "   Sub-topology: 0",
            "    Source: numbers (topics: [in])",
            "      --> as-text, by-key",
            "    Sink: as-text (extractor class: dynamic)",
            "      <-- numbers",
            "    Sink: by-key (extractor class: dynamic)",
            "      <-- numbers",
        ];
        let text = topology.describe().to_string();
        assert_eq!(text.trim_end().lines().collect::<Vec<_>>(), expected, "{text}");

        let driver = TestDriver::new(&topology).unwrap();
        driver.input(Topic::<String, i64>::new("in")).pipe_at(7, "a", 1);
        driver.input(Topic::<String, i64>::new("in")).pipe_at(8, "b", 2);
        let chosen = |topic: &'static str| driver.output(Topic::<String, i64>::new(topic)).read_key_values();
        assert_eq!(chosen("in-a"), [("a".to_string(), 1)]);
        assert_eq!(chosen("in-b"), [("b".to_string(), 2)]);
        let text: Vec<String> = driver.output("text").read_all().into_iter().map(|out| out.value).collect();
        assert_eq!(text, ["1", "2"]);
    }
}
