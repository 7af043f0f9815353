//! Where a topology begins.

use super::graph::{Call, GraphRef, Output, PlanNode, Role, SerdeSlot, SourcePlan, StreamPlan, Walk};
use super::handle::Handle;
use super::kstream::KStream;
use crate::data::Item;
use crate::error::{Error, Result};
use crate::processor::{NodeSupplier, TopicSource};
use crate::topic::{Consumed, IntoTopic};
use crate::topology::{Optimization, Topology};

/// Reads topics as streams and tables, and builds the topology of all that was said about them.
///
/// ```
/// use anabranch::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// builder
///     .stream("lines")
///     .filter(|_, line| !line.is_empty())
///     .map_values(|line| line.to_uppercase())
///     .to("shouted");
/// let topology = builder.build()?;
/// assert!(topology.describe().contains("Source: KSTREAM-SOURCE-0000000000 (topics: [lines])"));
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct StreamsBuilder {
    graph: GraphRef,
}

impl StreamsBuilder {
    /// A builder of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        StreamsBuilder::default()
    }

    /// Reads a topic as a stream. A name alone promises nothing about keys: they are `Option<String>`, values `String`. A
    /// `Topic<K, V>` brings its own types; what does not fit them (a null where the type has no room for one, bytes that cannot be
    /// read) goes where the error policy says.
    ///
    /// ```text
    /// topic   (ada, 1)    (null, 2)
    /// stream  (ada, 1) ── (null, 2) ──▶
    /// ```
    ///
    /// A record has the time that its topic gives it, or the one that the topic's
    /// [`timestamps`](crate::topic::Consumed::timestamps) make of it.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// const VISITS: Topic<String, i64> = Topic::new("visits");
    /// builder.stream(VISITS.consumed().timestamps(|visit, _| visit.value)).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input(VISITS).pipe("ada", 1_700_000_000_000);
    /// assert_eq!(driver.output(VISITS_OUT).read().unwrap().timestamp, 1_700_000_000_000);
    /// # const VISITS_OUT: Topic<String, i64> = Topic::new("out");
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn stream<T: IntoTopic>(&self, topic: T) -> KStream<T::Key, T::Value> {
        self.streams([topic])
    }

    /// Reads several topics of the same types as one stream. How they are read is said on the first.
    ///
    /// ```text
    /// a    (k, 1) ─────────── (k, 3) ──▶
    /// b    ───────── (k, 2) ───────────▶
    /// out  (k, 1) ── (k, 2) ─ (k, 3) ──▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.streams(["a", "b"]).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("a").pipe("k", "1");
    /// driver.input("b").pipe("k", "2");
    /// assert_eq!(driver.output("out").read_all().len(), 2);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn streams<T: IntoTopic>(&self, topics: impl IntoIterator<Item = T>) -> KStream<T::Key, T::Value> {
        let mut consumed = topics.into_iter().map(IntoTopic::into_consumed);
        let Some(first) = consumed.next() else { return self.nothing() };
        let mut names = vec![first.topic.name().to_owned()];
        names.extend(consumed.map(|other| other.topic.name().to_owned()));
        self.read(first, names, false)
    }

    /// Reads all topics whose names match a pattern, a regular expression, as one stream: those that are there, and those
    /// that come to be while the application runs (noticed within `metadata.max.age.ms`). The pattern is the name of
    /// `topic`, whose types and settings hold for all of them.
    ///
    /// ```text
    /// clicks-eu  (ada, /) ────────────────▶
    /// clicks-us  ────────── (bob, /) ─────▶
    /// out        (ada, /) ─ (bob, /) ─────▶      stream_matching("clicks-.*")
    /// ```
    ///
    /// While none is there, there is no task, and the application runs and waits. An application that has run reads each topic
    /// from where it ended; a topic that comes later begins where the offset reset says.
    ///
    /// The whole name must match. Kafka's own topics and the application's internal ones are left out; a topic that is
    /// also read by name, or matches two patterns, is an error. The syntax is that of the crate `regex-lite`.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// const CLICKS: Topic<String, String> = Topic::new("clicks-.*");
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream_matching(CLICKS).to("out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Source: KSTREAM-SOURCE-0000000000 (topics: clicks-.*)"));
    ///
    /// let driver = TestDriver::new(&topology)?;
    /// driver.input("clicks-eu").pipe("ada", "/");
    /// driver.input("clicks-us").pipe("bob", "/");
    /// assert_eq!(driver.output("out").read_all().len(), 2);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn stream_matching<T: IntoTopic>(&self, topic: T) -> KStream<T::Key, T::Value> {
        let consumed = topic.into_consumed();
        let pattern = consumed.topic.name().to_owned();
        self.read(consumed, vec![pattern], true)
    }

    fn read<K: Item, V: Item>(
        &self,
        first: Consumed<K, V>,
        names: Vec<String>,
        by_pattern: bool,
    ) -> KStream<K, V> {
        let Consumed { topic, name, timestamps, offset_reset, on_error } = first;
        let (key, value) = (topic.key_serde(), topic.value_serde());
        let (key_serde, value_serde) = (SerdeSlot::of(key.clone()), SerdeSlot::of(value.clone()));
        let supplier = NodeSupplier::of_source(move |init| {
            Ok(TopicSource::new(key.clone(), value.clone(), timestamps.clone(), init.queues))
        });
        let operation = self.graph.record("stream", true, move |walk, call| {
            let given = call.name.as_deref().or(name.as_deref());
            let name = walk.name(given, "KSTREAM-SOURCE-");
            let source = SourcePlan {
                topics: names.clone(),
                by_pattern,
                supplier: supplier.clone(),
                offset_reset,
                on_error: call.on_error.clone().or_else(|| on_error.clone()),
            };
            Output::Stream(StreamPlan {
                node: walk.add(PlanNode::of(name, Role::Source(source)), &[]),
                key_serde: key_serde.clone(),
                value_serde: value_serde.clone(),
                repartition_required: false,
                topics: names.clone(),
            })
        });
        KStream::of(self.handle(operation))
    }

    /// The topology of all that was said, without optimisation.
    ///
    /// # Errors
    /// All that is wrong, in one error.
    pub fn build(&self) -> Result<Topology> {
        self.build_with(Optimization::NONE)
    }

    /// The topology of all that was said, optimised.
    ///
    /// # Errors
    /// All that is wrong, in one error.
    pub fn build_with(&self, optimization: Optimization) -> Result<Topology> {
        self.graph.build(optimization)
    }

    /// A stream of no topic, which `build` reports.
    fn nothing<K: Item, V: Item>(&self) -> KStream<K, V> {
        let operation = self.graph.record("streams", true, |walk, _| {
            walk.faults.push("`streams` reads no topic: name at least one".to_owned());
            let supplier =
                NodeSupplier::of_source(|_| -> Result<TopicSource<K, V>> { Err(Error::invalid("no topic")) });
            let source = SourcePlan {
                topics: Vec::new(),
                by_pattern: false,
                supplier,
                offset_reset: None,
                on_error: None,
            };
            let name = walk.number("KSTREAM-SOURCE-");
            Output::Stream(StreamPlan {
                node: walk.add(PlanNode::of(name, Role::Source(source)), &[]),
                key_serde: SerdeSlot::none(),
                value_serde: SerdeSlot::none(),
                repartition_required: false,
                topics: Vec::new(),
            })
        });
        KStream::of(self.handle(operation))
    }

    pub(super) fn record(
        &self,
        method: &'static str,
        nameable: bool,
        expand: impl Fn(&mut Walk, &Call) -> Output + Send + 'static,
    ) -> Handle {
        self.handle(self.graph.record(method, nameable, expand))
    }

    fn handle(&self, operation: usize) -> Handle {
        Handle { graph: self.graph.clone(), operation }
    }
}
