//! Where a stream ends: in a topic, or in your code.

use std::fmt::Debug;
use std::sync::Arc;

use super::KStream;
use crate::data::{Item, Nullable};
use crate::dsl::graph::{Output, PlanNode, SerdeSlot};
use crate::dsl::handle::Effect;
use crate::dsl::named::Named;
use crate::operators::ForEach;
use crate::processor::{DynamicSink, NodeSupplier, TopicSink};
use crate::record::RecordMetadata;
use crate::topic::{Fits, Partitioner, Sink, SinkSpec, Writer, WriterOf};
use crate::topology::{NodeKind, SinkTopic};

impl<K: Item, V: Item> KStream<K, V> {
    /// Writes the records to a topic, which must exist. Its types are the stream's up to null: nulls are written as null.
    ///
    /// ```text
    /// stream  (k, a) ── (k, b) ──▶
    /// topic   (k, a)    (k, b)
    /// ```
    ///
    /// Time and headers are written as they are. The partition follows from the key, as in every Kafka client, unless the topic
    /// says otherwise: `TOPIC.produced().partitioner(..)`.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// const SHOUTED: Topic<Option<String>, String> = Topic::new("shouted");
    /// builder.stream("in").map_values(|text| text.to_uppercase()).to(SHOUTED);
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe_at(7, "k", "hey");
    /// let record = driver.output(SHOUTED).read().unwrap();
    /// assert_eq!((record.value.as_str(), record.timestamp), ("HEY", 7));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn to(&self, topic: impl Sink<K, V>) -> Named {
        let SinkSpec { topic, name, key, value, partitioner, on_error } = topic.into_sink();
        let (key, value): (ResolveWriter<K>, ResolveWriter<V>) = (resolve(key), resolve(value));
        let parent = self.handle.operation;
        Named {
            handle: self.handle.record("to", true, move |walk, call| {
                let stream = walk.stream(parent).clone();
                let name = walk.name(call.name.as_deref().or(name.as_deref()), "KSTREAM-SINK-");
                let supplier =
                    sink(&topic, key(&stream.key_serde), value(&stream.value_serde), partitioner.clone());
                let on_error = call.on_error.clone().or_else(|| on_error.clone());
                let (node, topic) = (name.clone(), topic.clone());
                let plan = PlanNode::new(name, move |lowering, parents| {
                    let kind = NodeKind::Sink(SinkTopic::Static(topic.clone()));
                    lowering.topology.add_node(&node, kind, supplier.clone(), parents, on_error.clone())
                });
                walk.add(plan, &[stream.node]);
                Output::End
            }),
        }
    }

    /// Writes each record to the topic that `choose` names. Such topics must exist.
    ///
    /// ```text
    /// in     (-, tea) ── (-, toast) ──▶
    /// short  (-, tea)
    /// long               (-, toast)
    /// ```
    ///
    /// Nulls and timestamps are treated as in [`to`](KStream::to).
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream("in").to_topic_by(|_, word, _| if word.len() > 3 { "long" } else { "short" });
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None, "tea");
    /// driver.input("in").pipe(None, "toast");
    /// assert_eq!(driver.output("short").read_key_value(), Some((None, "tea".to_string())));
    /// assert_eq!(driver.output("long").read_key_value(), Some((None, "toast".to_string())));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn to_topic_by<T: AsRef<str> + 'static>(
        &self,
        choose: impl Fn(&K, &V, &RecordMetadata) -> T + Send + Sync + 'static,
    ) -> Named
    where
        K: Nullable,
        V: Nullable,
    {
        let choose = Arc::new(choose);
        let parent = self.handle.operation;
        Named {
            handle: self.handle.record("to_topic_by", true, move |walk, call| {
                let stream = walk.stream(parent).clone();
                let name = walk.name(call.name.as_deref(), "KSTREAM-SINK-");
                let key = <K as Fits<K>>::writer(stream.key_serde.or_default::<K>());
                let value = <V as Fits<V>>::writer(stream.value_serde.or_default::<V>());
                let choose = Arc::clone(&choose);
                let supplier = NodeSupplier::of(move |_| {
                    Ok(DynamicSink::new(Arc::clone(&choose), Arc::clone(&key), Arc::clone(&value)))
                });
                let (node, on_error) = (name.clone(), call.on_error.clone());
                let plan = PlanNode::new(name, move |lowering, parents| {
                    let kind = NodeKind::Sink(SinkTopic::Dynamic);
                    lowering.topology.add_node(&node, kind, supplier.clone(), parents, on_error.clone())
                });
                walk.add(plan, &[stream.node]);
                Output::End
            }),
        }
    }

    /// Shows each record to `act`, nulls included, and ends the stream. What `act` does is not undone when records are processed
    /// again after a failure.
    ///
    /// ```text
    /// in   (k, a) ── (k, b) ──▶
    ///        ↓ act     ↓ act
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # use std::sync::atomic::{AtomicUsize, Ordering};
    /// # let builder = StreamsBuilder::new();
    /// static BYTES: AtomicUsize = AtomicUsize::new(0);
    /// builder.stream("in").for_each(|_, text| drop(BYTES.fetch_add(text.len(), Ordering::Relaxed)));
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None, "abc");
    /// assert_eq!(BYTES.load(Ordering::Relaxed), 3);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn for_each(&self, act: impl Fn(&K, &V) + Send + Sync + 'static) -> Named {
        self.ending("for_each", "KSTREAM-FOREACH-", move |key, value| act(key, value))
    }

    /// Prints each record to standard output, nulls included, with `prefix` in front of it, and ends the stream: for a look while
    /// a topology is written.
    ///
    /// ```text
    /// in   (k, a) ──▶
    ///        ↓
    ///      [words]: Some("k"), "a"
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream("in").print("words");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("k", "a");
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn print(&self, prefix: impl Into<String>) -> Named
    where
        K: Debug,
        V: Debug,
    {
        let prefix = prefix.into();
        self.ending("print", "KSTREAM-PRINTER-", move |key, value| println!("[{prefix}]: {key:?}, {value:?}"))
    }

    fn ending(
        &self,
        method: &'static str,
        prefix: &'static str,
        act: impl Fn(&K, &V) + Send + Sync + 'static,
    ) -> Named {
        let act = Arc::new(move |key: &K, value: &V| {
            act(key, value);
            Ok(())
        });
        let supplier = NodeSupplier::of(move |_| Ok(ForEach::new(Arc::clone(&act))));
        Named { handle: self.handle.then(method, prefix, Effect::KEEPS, supplier) }
    }
}

type ResolveWriter<T> = Box<dyn Fn(&SerdeSlot) -> Arc<dyn Writer<T>> + Send>;

/// Which serde a sink writes with, once it is known what the stream has inherited.
fn resolve<T: Item>(writer: WriterOf<T>) -> ResolveWriter<T> {
    match writer {
        WriterOf::Own(writer) => Box::new(move |_| Arc::clone(&writer)),
        WriterOf::Inherited(default) => {
            Box::new(move |inherited| <T as Fits<T>>::writer(inherited.get().unwrap_or_else(default)))
        }
    }
}

fn sink<K: Item, V: Item>(
    topic: &str,
    key: Arc<dyn Writer<K>>,
    value: Arc<dyn Writer<V>>,
    partitioner: Option<Partitioner<K, V>>,
) -> NodeSupplier {
    let topic = topic.to_owned();
    NodeSupplier::of(move |init| {
        let topic = init.out_topic(&topic);
        Ok(TopicSink::new(topic, Arc::clone(&key), Arc::clone(&value), partitioner.clone()))
    })
}
