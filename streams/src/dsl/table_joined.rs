//! How a table is joined with another by a foreign key.

use std::sync::Arc;

/// Picks a partition: told the key and how many partitions there are.
pub(super) type KeyPartitioner<K> = Arc<dyn Fn(&K, i32) -> i32 + Send + Sync>;

/// How a table of keys `K` is joined with one of keys `KO`: names, and where the rows of the two tables lie if not where
/// the default partitioner would put them.
pub struct TableJoined<K, KO> {
    pub(super) name: Option<String>,
    pub(super) partitioner: Option<KeyPartitioner<K>>,
    pub(super) other_partitioner: Option<KeyPartitioner<KO>>,
}

impl<K, KO> TableJoined<K, KO> {
    /// With generated names.
    #[must_use]
    pub fn new() -> Self {
        TableJoined { name: None, partitioner: None, other_partitioner: None }
    }

    /// Names the nodes, the store of subscriptions, and the two topics
    /// `<application.id>-<name>-subscription-registration-topic` and `..-subscription-response-topic`.
    pub fn named(name: impl Into<String>) -> Self {
        TableJoined { name: Some(name.into()), ..TableJoined::new() }
    }

    /// In which partition a row of this table lies.
    #[must_use]
    pub fn partitioner(mut self, pick: impl Fn(&K, i32) -> i32 + Send + Sync + 'static) -> Self {
        self.partitioner = Some(Arc::new(pick));
        self
    }

    /// In which partition a row of the other table lies.
    #[must_use]
    pub fn other_partitioner(mut self, pick: impl Fn(&KO, i32) -> i32 + Send + Sync + 'static) -> Self {
        self.other_partitioner = Some(Arc::new(pick));
        self
    }
}

impl<K, KO> Default for TableJoined<K, KO> {
    fn default() -> Self {
        TableJoined::new()
    }
}

impl<K, KO> From<&str> for TableJoined<K, KO> {
    fn from(name: &str) -> Self {
        TableJoined::named(name)
    }
}
