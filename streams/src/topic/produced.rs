//! How a topic is written.

use std::sync::Arc;

use super::Topic;
use crate::policy::OnError;

/// Picks the partition of a record among so many; `None` leaves it to the default, the hash of the key.
pub(crate) type Partitioner<K, V> = Arc<dyn Fn(&K, &V, i32) -> Option<i32> + Send + Sync>;

/// A topic and how it is written.
pub struct Produced<K, V> {
    pub(crate) topic: Topic<K, V>,
    pub(crate) name: Option<String>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
    pub(crate) on_error: Option<OnError>,
}

impl<K, V> Produced<K, V> {
    pub(super) fn of(topic: Topic<K, V>) -> Self {
        Produced { topic, name: None, partitioner: None, on_error: None }
    }

    /// Names the sink node.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Picks the partition: told the key, the value and how many partitions there are. Without it the hash of the key
    /// decides, as in every Kafka client.
    #[must_use]
    pub fn partitioner(mut self, pick: impl Fn(&K, &V, i32) -> i32 + Send + Sync + 'static) -> Self {
        self.partitioner = Some(Arc::new(move |key, value, partitions| Some(pick(key, value, partitions))));
        self
    }

    /// What happens to records that cannot be written.
    #[must_use]
    pub fn on_error(mut self, answer: OnError) -> Self {
        self.on_error = Some(answer);
        self
    }
}
