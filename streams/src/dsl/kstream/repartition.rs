//! Repartitioning by hand.

use std::sync::Arc;

use super::KStream;
use crate::data::Nullable;
use crate::dsl::graph::{Output, SerdeSlot, TypedRepartition};
use crate::dsl::options::Repartitioned;

impl<K: Nullable, V: Nullable> KStream<K, V> {
    /// Sends the records through a topic, so that records of one key meet in one task. Aggregations and joins do so by themselves
    /// where they need it; by hand it settles the number of partitions, or spreads work over more tasks.
    ///
    /// ```text
    /// in     (a, 1) ── (b, 2) ── (a, 3) ──▶   in any partition
    /// topic  (a, 1)    (b, 2)    (a, 3)       each key in one
    /// out    (a, 1) ── (b, 2) ── (a, 3) ──▶
    /// ```
    ///
    /// Records without a key are left out, unless a left or outer join of streams follows, which lets them through. Null values,
    /// times and headers stay as they are.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let by_word = builder.stream("in").select_key(|_, word| word.clone());
    /// by_word.repartition_with(Repartitioned::named("by-word").partitions(4)).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None, "tea");
    /// assert_eq!(driver.produced_topics(), ["app-by-word-repartition", "out"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn repartition(&self) -> Self {
        self.repartition_with(Repartitioned::new())
    }

    /// The same with options, or just a name: `.repartition_with("by-user")`.
    pub fn repartition_with(&self, options: impl Into<Repartitioned<K, V>>) -> Self {
        let Repartitioned { name, key, value, partitions, partitioner } = options.into();
        let parent = self.handle.operation;
        KStream::of(self.handle.record("repartition", true, move |walk, call| {
            let stream = walk.stream(parent).clone();
            let key = key.clone().unwrap_or_else(|| stream.key_serde.or_default::<K>());
            let value = value.clone().unwrap_or_else(|| stream.value_serde.or_default::<V>());
            let serdes = (SerdeSlot::of(Arc::clone(&key)), SerdeSlot::of(Arc::clone(&value)));
            let types = Arc::new(TypedRepartition { key, value, partitioner: partitioner.clone() });
            // A given name uses up no number here, as in Kafka Streams.
            let prefix = match call.name.as_ref().or(name.as_ref()) {
                Some(name) => name.clone(),
                None => walk.number("KSTREAM-REPARTITION-"),
            };
            let plan = walk.repartition_plan(&prefix, types, true, partitions);
            Output::Stream(walk.repartitioned(&stream, plan, serdes.0, serdes.1))
        }))
    }
}
