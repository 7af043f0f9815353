//! Inputs that are read again after an undo. What still comes of them from before is stale, until the member says that it has
//! gone back.
//!
//! An undo may follow before the member has heard of the one before. It goes back twice then, to where the second wants it
//! both times: what comes in between comes again, so only its word about the last one counts.

use std::collections::BTreeMap;

use anabranch_client::TopicPartition;

/// Where a partition is to be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rewind {
    pub(crate) partition: TopicPartition,
    pub(crate) offset: i64,
    /// Which undo of the task has asked for it.
    pub(crate) number: u64,
}

/// The inputs of a task that the member is to go back with.
#[derive(Debug, Default)]
pub(crate) struct Rewinding {
    /// By which undo each was asked for last.
    awaited: BTreeMap<TopicPartition, u64>,
    undone: u64,
}

impl Rewinding {
    /// The task is undone: its inputs are to be read from these offsets on.
    pub(crate) fn begin(&mut self, inputs: impl IntoIterator<Item = (TopicPartition, i64)>) -> Vec<Rewind> {
        self.undone += 1;
        let number = self.undone;
        let asked = inputs.into_iter().map(|(partition, offset)| Rewind { partition, offset, number });
        let asked: Vec<Rewind> = asked.collect();
        self.awaited.extend(asked.iter().map(|rewind| (rewind.partition.clone(), number)));
        asked
    }

    /// The member has gone back as this undo has asked for.
    pub(crate) fn done(&mut self, partition: &TopicPartition, number: u64) {
        if self.awaited.get(partition) == Some(&number) {
            self.awaited.remove(partition);
        }
    }

    /// Whether what comes of a partition is stale.
    pub(crate) fn awaits(&self, partition: &TopicPartition) -> bool {
        self.awaited.contains_key(partition)
    }

    /// What comes of a partition now is no more of before.
    pub(crate) fn forget(&mut self, partition: &TopicPartition) {
        self.awaited.remove(partition);
    }

    /// Only these are read any more.
    pub(crate) fn retain(&mut self, is_read: impl Fn(&TopicPartition) -> bool) {
        self.awaited.retain(|partition, _| is_read(partition));
    }

    /// What comes of all of them now is no more of before.
    pub(crate) fn clear(&mut self) {
        self.awaited.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_about_the_last_undo_counts() {
        let (a, b) = (TopicPartition::new("in", 0), TopicPartition::new("in", 1));
        let mut rewinding = Rewinding::default();
        let first = rewinding.begin([(a.clone(), 3), (b.clone(), 0)]);
        let second = rewinding.begin([(a.clone(), 3)]);
        let (first, second) = (first[0].number, second[0].number);
        rewinding.done(&a, first);
        rewinding.done(&b, first);
        assert!(rewinding.awaits(&a), "it goes back once more");
        assert!(!rewinding.awaits(&b));
        rewinding.done(&a, second);
        assert!(!rewinding.awaits(&a));
        rewinding.done(&a, second);
        assert!(!rewinding.awaits(&a));
    }
}
