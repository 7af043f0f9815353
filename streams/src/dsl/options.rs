//! Options of operators, taken last by their `_with` forms: a name is enough where one is asked for.

use std::sync::Arc;

use crate::serdes::Serde;
use crate::topic::Partitioner;

/// How a stream or table is grouped.
pub struct Grouped<K, V> {
    pub(super) name: Option<String>,
    pub(super) key: Option<Arc<dyn Serde<K>>>,
    pub(super) value: Option<Arc<dyn Serde<V>>>,
}

impl<K, V> Grouped<K, V> {
    /// With generated names.
    #[must_use]
    pub fn new() -> Self {
        Grouped { name: None, key: None, value: None }
    }

    /// Through the repartition topic `<application.id>-<name>-repartition`, if one is needed.
    pub fn named(name: impl Into<String>) -> Self {
        Grouped { name: Some(name.into()), ..Grouped::new() }
    }

    /// Keys are written with this serde.
    #[must_use]
    pub fn key_serde(mut self, serde: impl Serde<K>) -> Self {
        self.key = Some(Arc::new(serde));
        self
    }

    /// Values are written with this serde.
    #[must_use]
    pub fn value_serde(mut self, serde: impl Serde<V>) -> Self {
        self.value = Some(Arc::new(serde));
        self
    }
}

impl<K, V> Default for Grouped<K, V> {
    fn default() -> Self {
        Grouped::new()
    }
}

impl<K, V> From<&str> for Grouped<K, V> {
    fn from(name: &str) -> Self {
        Grouped::named(name)
    }
}

/// How a stream is repartitioned.
pub struct Repartitioned<K, V> {
    pub(super) name: Option<String>,
    pub(super) key: Option<Arc<dyn Serde<K>>>,
    pub(super) value: Option<Arc<dyn Serde<V>>>,
    pub(super) partitions: Option<i32>,
    pub(super) partitioner: Option<Partitioner<K, V>>,
}

impl<K, V> Repartitioned<K, V> {
    /// Through a topic with a generated name.
    #[must_use]
    pub fn new() -> Self {
        Repartitioned { name: None, key: None, value: None, partitions: None, partitioner: None }
    }

    /// Through the topic `<application.id>-<name>-repartition`.
    pub fn named(name: impl Into<String>) -> Self {
        Repartitioned { name: Some(name.into()), ..Repartitioned::new() }
    }

    /// Keys are written with this serde.
    #[must_use]
    pub fn key_serde(mut self, serde: impl Serde<K>) -> Self {
        self.key = Some(Arc::new(serde));
        self
    }

    /// Values are written with this serde.
    #[must_use]
    pub fn value_serde(mut self, serde: impl Serde<V>) -> Self {
        self.value = Some(Arc::new(serde));
        self
    }

    /// How many partitions the topic has; without it as many as the topics that feed it.
    #[must_use]
    pub fn partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// Picks the partition: told the key, the value and how many partitions there are.
    #[must_use]
    pub fn partitioner(mut self, pick: impl Fn(&K, &V, i32) -> i32 + Send + Sync + 'static) -> Self {
        self.partitioner = Some(Arc::new(move |key, value, partitions| Some(pick(key, value, partitions))));
        self
    }
}

impl<K, V> Default for Repartitioned<K, V> {
    fn default() -> Self {
        Repartitioned::new()
    }
}

impl<K, V> From<&str> for Repartitioned<K, V> {
    fn from(name: &str) -> Self {
        Repartitioned::named(name)
    }
}
