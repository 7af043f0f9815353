//! What the member knows of partitions that it reads, as long as they are assigned here.

use std::collections::BTreeMap;

use anabranch_client::{OffsetAndMetadata, TopicPartition, Uuid};

use crate::runtime::offsets::Offsets;

/// Which topics they are of, and where they began.
#[derive(Debug, Default)]
pub(super) struct KnownInputs {
    /// Another topic may take the name of one that was deleted.
    topics: BTreeMap<TopicPartition, Uuid>,
    /// Those of which nothing was committed: a task that is opened again before its first commit does not begin later.
    begun: Offsets,
}

impl KnownInputs {
    /// They are another's now.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) {
        self.topics.retain(|partition, _| !partitions.contains(partition));
        self.begun.retain(|partition, _| !partitions.contains(partition));
    }

    /// Records of this topic have come. Whether it is another one than before.
    pub(super) fn is_of_another_topic(&mut self, partition: &TopicPartition, topic: Uuid) -> bool {
        // Brokers that know no ids of topics name none.
        if topic.is_zero() || self.topics.get(partition) == Some(&topic) {
            return false;
        }
        self.topics.insert(partition.clone(), topic).is_some()
    }

    /// A partition is of this topic.
    pub(super) fn read_from(&mut self, partition: &TopicPartition, topic: Uuid) {
        self.topics.insert(partition.clone(), topic);
    }

    /// Partitions begin there.
    pub(super) fn begin(&mut self, beginnings: Offsets) {
        self.begun.extend(beginnings);
    }

    /// Where a partition began.
    pub(super) fn beginning(&self, partition: &TopicPartition) -> Option<&OffsetAndMetadata> {
        self.begun.get(partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_topic_of_the_same_name_is_told_once() {
        let (none, first, second) = (Uuid::default(), Uuid([1; 16]), Uuid([2; 16]));
        let partition = TopicPartition::new("lines", 0);
        let mut known = KnownInputs::default();
        for (topic, is_another) in
            [(none, false), (first, false), (first, false), (second, true), (second, false)]
        {
            assert_eq!(known.is_of_another_topic(&partition, topic), is_another, "{topic:?}");
        }
        known.read_from(&partition, first);
        assert!(known.is_of_another_topic(&partition, second));
        known.begin(Offsets::from([(partition.clone(), OffsetAndMetadata::new(7))]));
        assert_eq!(known.beginning(&partition).map(|at| at.offset), Some(7));
        known.forget(std::slice::from_ref(&partition));
        assert_eq!(known.beginning(&partition), None);
        assert!(!known.is_of_another_topic(&partition, first));
    }
}
