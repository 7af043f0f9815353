//! Dropping nulls and with them the `Option`; giving a type room for null.

use super::KStream;
use crate::data::Item;
use crate::dsl::graph::{Output, PlanNode, StreamPlan};
use crate::dsl::handle::Effect;
use crate::operators::{PresentKeys, PresentPairs, PresentValues, WidenKeys, WidenValues};
use crate::processor::NodeSupplier;

impl<K: Item, V: Item> KStream<Option<K>, V> {
    /// The records whose key is there, and a type that says so.
    ///
    /// ```text
    /// in   (k, a) ── (null, b) ──▶
    /// out  (k, a) ───────────────▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream("in").drop_null_keys().map_values_with_key(|key, value| key.clone() + &value).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("k", "a");
    /// driver.input("in").pipe(None, "b");
    /// let out = driver.output(Topic::<String, String>::new("out")).read_key_values();
    /// assert_eq!(out, [("k".to_string(), "ka".to_string())]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn drop_null_keys(&self) -> KStream<K, V> {
        let supplier = NodeSupplier::of(|_| Ok(PresentKeys::<K, V>::new()));
        let effect = Effect::retypes(|key| key.narrowed::<K>(), |value| value);
        KStream::of(self.handle.then("drop_null_keys", "KSTREAM-FILTER-", effect, supplier))
    }
}

impl<K: Item, V: Item> KStream<K, Option<V>> {
    /// The records whose value is there, and a type that says so.
    ///
    /// ```text
    /// in   (k, a) ── (k, null) ──▶
    /// out  (k, a) ───────────────▶
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// const IN: Topic<Option<String>, Option<String>> = Topic::new("in");
    /// builder.stream(IN).drop_null_values().map_values(|value| value + "!").to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input(IN).pipe("k", "a");
    /// driver.input(IN).pipe("k", None);
    /// assert_eq!(driver.output("out").read_key_values(), [(Some("k".to_string()), "a!".to_string())]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn drop_null_values(&self) -> KStream<K, V> {
        let supplier = NodeSupplier::of(|_| Ok(PresentValues::<K, V>::new()));
        let effect = Effect::retypes(|key| key, |value| value.narrowed::<V>());
        KStream::of(self.handle.then("drop_null_values", "KSTREAM-FILTER-", effect, supplier))
    }
}

impl<K: Item, V: Item> KStream<Option<K>, Option<V>> {
    /// The records whose key and value are there, and types that say so.
    ///
    /// ```text
    /// in   (k, null) ── (null, v) ── (k, v) ──▶
    /// out  ───────────────────────── (k, v) ──▶
    /// ```
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// const IN: Topic<Option<String>, Option<String>> = Topic::new("in");
    /// let builder = StreamsBuilder::new();
    /// builder.stream(IN).drop_nulls().map(|k, v| (v, k)).to("swapped");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// let input = driver.input(IN);
    /// input.pipe("k", None);
    /// input.pipe("k", "v");
    /// assert_eq!(driver.output("swapped").read_key_values(), [(Some("v".to_string()), "k".to_string())]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn drop_nulls(&self) -> KStream<K, V> {
        let supplier = NodeSupplier::of(|_| Ok(PresentPairs::<K, V>::new()));
        let effect = Effect::retypes(|key| key.narrowed::<K>(), |value| value.narrowed::<V>());
        KStream::of(self.handle.then("drop_nulls", "KSTREAM-FILTER-", effect, supplier))
    }
}

impl<K: Item, V: Item> KStream<K, V> {
    /// The same records with room for null keys, to be merged with a stream that has some.
    ///
    /// ```text
    /// a    (k, 1) ─────────────▶      keys String
    /// b    ───────── (null, 2) ▶      keys Option<String>
    /// out  (k, 1) ── (null, 2) ▶      keys Option<String>
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// # let a = Topic::<String, String>::new("a");
    /// builder.stream("b").merge(&builder.stream(&a).with_nullable_keys()).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input(&a).pipe("k", "1");
    /// driver.input("b").pipe(None, "2");
    /// let keys: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(key, _)| key).collect();
    /// assert_eq!(keys, [Some("k".to_string()), None]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn with_nullable_keys(&self) -> KStream<Option<K>, V> {
        self.widening("with_nullable_keys", NodeSupplier::of(|_| Ok(WidenKeys::<K, V>::new())), |stream| {
            StreamPlan { key_serde: stream.key_serde.widened::<K>(), ..stream }
        })
    }

    /// The same records with room for null values, to be merged with a stream that has some: see
    /// [`with_nullable_keys`](KStream::with_nullable_keys).
    pub fn with_nullable_values(&self) -> KStream<K, Option<V>> {
        self.widening(
            "with_nullable_values",
            NodeSupplier::of(|_| Ok(WidenValues::<K, V>::new())),
            |stream| StreamPlan { value_serde: stream.value_serde.widened::<V>(), ..stream },
        )
    }

    /// A node that Kafka Streams does not have: it uses up no number, and is named after its parent.
    fn widening<K2, V2>(
        &self,
        method: &'static str,
        supplier: NodeSupplier,
        widen: fn(StreamPlan) -> StreamPlan,
    ) -> KStream<K2, V2> {
        let parent = self.handle.operation;
        KStream::of(self.handle.record(method, false, move |walk, call| {
            let stream = walk.stream(parent).clone();
            // Several may widen one stream: the operation's place tells them apart.
            let name = format!("{}-nullable-{}", walk.plan[stream.node].name, call.id);
            let node = PlanNode::processor(name, supplier.clone(), None).changing(false, true);
            let stream = widen(stream);
            Output::Stream(StreamPlan { node: walk.add(node, &[stream.node]), ..stream })
        }))
    }
}
