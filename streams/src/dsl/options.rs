//! Options of operators, taken last by their `_with` forms: a name is enough where one is asked for.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

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

/// How a stream is joined with a table.
pub struct Joined<K, V, VT> {
    pub(super) name: Option<String>,
    pub(super) key: Option<Arc<dyn Serde<K>>>,
    pub(super) value: Option<Arc<dyn Serde<V>>>,
    pub(super) grace: Option<Duration>,
    table: PhantomData<fn(VT)>,
}

impl<K, V, VT> Joined<K, V, VT> {
    /// With generated names.
    #[must_use]
    pub fn new() -> Self {
        Joined { name: None, key: None, value: None, grace: None, table: PhantomData }
    }

    /// Names the join, and the repartition topic before it if one is needed.
    pub fn named(name: impl Into<String>) -> Self {
        Joined { name: Some(name.into()), ..Joined::new() }
    }

    /// Lets each record of the stream wait until the stream's time has passed its own by `grace`, so that updates of the
    /// table that come late are still met. The table must be kept in a `Versioned` store.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// The stream's keys are repartitioned with this serde.
    #[must_use]
    pub fn key_serde(mut self, serde: impl Serde<K>) -> Self {
        self.key = Some(Arc::new(serde));
        self
    }

    /// The stream's values are repartitioned with this serde.
    #[must_use]
    pub fn value_serde(mut self, serde: impl Serde<V>) -> Self {
        self.value = Some(Arc::new(serde));
        self
    }
}

impl<K, V, VT> Default for Joined<K, V, VT> {
    fn default() -> Self {
        Joined::new()
    }
}

impl<K, V, VT> From<&str> for Joined<K, V, VT> {
    fn from(name: &str) -> Self {
        Joined::named(name)
    }
}

/// How two streams are joined.
pub struct StreamJoined<K, V, V2> {
    pub(super) name: Option<String>,
    pub(super) stores: Option<String>,
    pub(super) in_memory: bool,
    pub(super) key: Option<Arc<dyn Serde<K>>>,
    pub(super) left: Option<Arc<dyn Serde<V>>>,
    pub(super) right: Option<Arc<dyn Serde<V2>>>,
}

impl<K, V, V2> StreamJoined<K, V, V2> {
    /// With generated names.
    #[must_use]
    pub fn new() -> Self {
        StreamJoined { name: None, stores: None, in_memory: false, key: None, left: None, right: None }
    }

    /// Names the nodes, and the repartition topics before them if any are needed.
    pub fn named(name: impl Into<String>) -> Self {
        StreamJoined { name: Some(name.into()), ..StreamJoined::new() }
    }

    /// Names the stores, and so their changelogs.
    #[must_use]
    pub fn stores(mut self, name: impl Into<String>) -> Self {
        self.stores = Some(name.into());
        self
    }

    /// Keeps the stores in memory only.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// Keys are kept with this serde.
    #[must_use]
    pub fn key_serde(mut self, serde: impl Serde<K>) -> Self {
        self.key = Some(Arc::new(serde));
        self
    }

    /// Values of the left stream are kept with this serde.
    #[must_use]
    pub fn left_serde(mut self, serde: impl Serde<V>) -> Self {
        self.left = Some(Arc::new(serde));
        self
    }

    /// Values of the right stream are kept with this serde.
    #[must_use]
    pub fn right_serde(mut self, serde: impl Serde<V2>) -> Self {
        self.right = Some(Arc::new(serde));
        self
    }
}

impl<K, V, V2> Default for StreamJoined<K, V, V2> {
    fn default() -> Self {
        StreamJoined::new()
    }
}

impl<K, V, V2> From<&str> for StreamJoined<K, V, V2> {
    fn from(name: &str) -> Self {
        StreamJoined::named(name)
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
