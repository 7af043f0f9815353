//! Repartitioning by hand.

use std::sync::Arc;

use super::KStream;
use crate::data::Nullable;
use crate::dsl::graph::{Output, SerdeSlot, TypedRepartition};
use crate::dsl::options::Repartitioned;

impl<K: Nullable, V: Nullable> KStream<K, V> {
    /// Sends the records through a topic, so that records of one key meet in one task. Records without a key are left
    /// out, unless a left or outer join of streams follows, which lets them through.
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
