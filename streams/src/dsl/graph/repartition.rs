//! Repartitioning: a topic between two parts of the topology, so that records of one key meet in one task.

use std::sync::Arc;

use super::{PlanNode, Role, SerdeSlot, StreamPlan, Walk};
use crate::data::{Item, Nullable};
use crate::operators::{Filter, Pass};
use crate::processor::{NodeSupplier, TopicSink, TopicSource};
use crate::serdes::Serde;
use crate::topic::{Fits, Partitioner, Timestamps};

/// A repartition topic in the plan.
pub(crate) struct RepartitionPlan {
    /// Its name without the application's id.
    pub(crate) topic: String,
    pub(crate) sink: String,
    pub(crate) filter: String,
    pub(crate) source: String,
    pub(crate) types: Arc<dyn RepartitionTypes>,
    /// The user asked for it: it is never merged with another.
    pub(crate) explicit: bool,
    /// Settled by the user.
    pub(crate) partitions: Option<i32>,
}

/// What a repartition topic holds.
pub(crate) trait RepartitionTypes: Send + Sync {
    /// The node before the topic; it drops null keys, which would gather in one partition and then be dropped, unless
    /// they are kept.
    fn filter(&self, keeps_null_keys: bool) -> NodeSupplier;

    /// The node that writes.
    fn sink(&self, topic: &str) -> NodeSupplier;

    /// The node that reads.
    fn source(&self) -> NodeSupplier;
}

/// The usual case: keys and values of a stream.
pub(crate) struct TypedRepartition<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
}

impl<K: Nullable, V: Item> RepartitionTypes for TypedRepartition<K, V> {
    fn filter(&self, keeps_null_keys: bool) -> NodeSupplier {
        if keeps_null_keys {
            return NodeSupplier::of(|_| Ok(Pass::<K, V>::new()));
        }
        let has_key = Arc::new(|key: &K, _: &V| Ok(key.as_present().is_some()));
        NodeSupplier::of(move |_| Ok(Filter::new(Arc::clone(&has_key), true)))
    }

    fn sink(&self, topic: &str) -> NodeSupplier {
        let key = <K as Fits<K>>::writer(Arc::clone(&self.key));
        let value = <V as Fits<V>>::writer(Arc::clone(&self.value));
        let (topic, partitioner) = (topic.to_owned(), self.partitioner.clone());
        NodeSupplier::of(move |init| {
            let topic = init.out_topic(&topic);
            Ok(TopicSink::new(topic, Arc::clone(&key), Arc::clone(&value), partitioner.clone()))
        })
    }

    fn source(&self) -> NodeSupplier {
        let (key, value) = (Arc::clone(&self.key), Arc::clone(&self.value));
        NodeSupplier::of_source(move |init| {
            Ok(TopicSource::new(Arc::clone(&key), Arc::clone(&value), Timestamps::default(), init.queues))
        })
    }
}

impl Walk {
    /// A repartition topic named after `prefix`. Its nodes get generated names if the prefix is one.
    pub(crate) fn repartition_plan(
        &mut self,
        prefix: &str,
        types: Arc<dyn RepartitionTypes>,
        explicit: bool,
        partitions: Option<i32>,
    ) -> RepartitionPlan {
        let generated =
            [self.number("KSTREAM-SINK-"), self.number("KSTREAM-FILTER-"), self.number("KSTREAM-SOURCE-")];
        let topic = repartition_topic(prefix);
        let [sink, filter, source] = if is_generated(prefix) {
            generated
        } else {
            [format!("{topic}-sink"), format!("{topic}-filter"), format!("{topic}-source")]
        };
        RepartitionPlan { topic, sink, filter, source, types, explicit, partitions }
    }

    /// Whether the plan has a repartition topic named after `prefix`.
    pub(crate) fn has_repartition(&self, prefix: &str) -> bool {
        let wanted = repartition_topic(prefix);
        let is_it = |node: &PlanNode| matches!(&node.role, Role::Repartition(plan) if plan.topic == wanted);
        self.plan.iter().any(is_it)
    }

    /// The stream that a join reads, repartitioned first if it must be. Without a name of the user's, several joins of
    /// one stream share the topic; the numbers are used up each time.
    pub(crate) fn stream_to_join<K: Nullable, V: Item>(
        &mut self,
        operation: usize,
        name: Option<&str>,
        types: impl FnOnce(&StreamPlan) -> TypedRepartition<K, V>,
    ) -> StreamPlan {
        let stream = self.stream(operation).clone();
        if !stream.repartition_required {
            return stream;
        }
        let types = types(&stream);
        let serdes = (SerdeSlot::of(Arc::clone(&types.key)), SerdeSlot::of(Arc::clone(&types.value)));
        let node_name = self.plan[stream.node].name.clone();
        let plan = self.repartition_plan(name.unwrap_or(&node_name), Arc::new(types), false, None);
        if name.is_none()
            && let Some(known) = self.joined_streams.get(&operation)
        {
            return known.clone();
        }
        let repartitioned = self.repartitioned(&stream, plan, serdes.0, serdes.1);
        self.joined_streams.insert(operation, repartitioned.clone());
        repartitioned
    }

    /// The stream behind a repartition topic.
    pub(crate) fn repartitioned(
        &mut self,
        stream: &StreamPlan,
        plan: RepartitionPlan,
        key_serde: SerdeSlot,
        value_serde: SerdeSlot,
    ) -> StreamPlan {
        let topics = vec![plan.topic.clone()];
        let node = PlanNode::of(plan.source.clone(), Role::Repartition(plan));
        let node = self.add(node, &[stream.node]);
        StreamPlan { node, key_serde, value_serde, repartition_required: false, topics }
    }
}

fn repartition_topic(prefix: &str) -> String {
    if prefix.ends_with("-repartition") { prefix.to_owned() } else { format!("{prefix}-repartition") }
}

/// `KSTREAM.*-[0-9]{10}`.
fn is_generated(prefix: &str) -> bool {
    let Some(digits) = prefix.strip_prefix("KSTREAM").and_then(|rest| rest.rsplit('-').next()) else {
        return false;
    };
    digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_prefixes_are_known_by_their_number() {
        for (prefix, generated) in [
            ("KSTREAM-AGGREGATE-STATE-STORE-0000000005", true),
            ("KSTREAM-MAP-0000000001", true),
            ("KSTREAM-AGGREGATE-STATE-STORE-0000000005-repartition", false),
            ("COGROUPKSTREAM-AGGREGATE-STATE-STORE-0000000005", false),
            ("counts", false),
            ("KSTREAM-1", false),
        ] {
            assert_eq!(is_generated(prefix), generated, "{prefix}");
        }
        assert_eq!(repartition_topic("a"), "a-repartition");
        assert_eq!(repartition_topic("a-repartition"), "a-repartition");
    }
}
