//! Adding nodes by hand: handles carry types, so that wiring is checked as in the DSL.

use std::marker::PhantomData;

use super::{NodeKind, SinkTopic, SourceDefinition, TopicPattern, Topology};
use crate::data::Item;
use crate::processor::{NodeSupplier, TopicSink, TopicSource};
use crate::topic::{Consumed, IntoTopic, Sink, WriterOf};

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
}

/// By hand nothing is inherited: a sink given by name writes with the default serdes.
fn own<T: Item>(writer: WriterOf<T>) -> std::sync::Arc<dyn crate::topic::Writer<T>> {
    match writer {
        WriterOf::Own(writer) => writer,
        WriterOf::Inherited(default) => <T as crate::topic::Fits<T>>::writer(default()),
    }
}
