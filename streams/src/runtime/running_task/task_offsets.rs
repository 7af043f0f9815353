//! The offsets of a task's inputs: what it sealed last, and what of that is committed.
//!
//! One epoch is sealed at a time, so two lists are enough: an abort goes from the one back to the other.

use anabranch_client::{OffsetAndMetadata, TopicPartition};

use crate::runtime::offsets::Offsets;

/// What a task commits of its inputs.
#[derive(Debug, Default)]
pub(super) struct TaskOffsets {
    /// What was committed before it began to process: its state reflects it once it is restored.
    begun: Offsets,
    /// Last sealed, so that what has not moved is not committed again...
    sealed: Offsets,
    /// ...and those of them that are committed.
    committed: Offsets,
    /// It has begun to read something, and the group is to know soon where.
    begins: bool,
}

impl TaskOffsets {
    /// It goes on from what is committed.
    pub(super) fn resume(begun: Offsets) -> Self {
        TaskOffsets { begun, ..TaskOffsets::default() }
    }

    /// It reads more, of which this is committed.
    pub(super) fn extend(&mut self, committed: Offsets) {
        self.begun.extend(committed);
    }

    /// It begins to read something of which nothing is committed.
    pub(super) fn begin(&mut self) {
        self.begins = true;
    }

    /// Whether the group is to know soon where it has begun.
    pub(super) fn begins(&self) -> bool {
        self.begins
    }

    /// Only these are read any more.
    pub(super) fn retain(&mut self, is_read: impl Fn(&TopicPartition) -> bool) {
        for offsets in [&mut self.begun, &mut self.sealed, &mut self.committed] {
            offsets.retain(|partition, _| is_read(partition));
        }
    }

    /// An epoch ends with these offsets. Gives those that have moved.
    pub(super) fn seal(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
    ) -> Offsets {
        self.begins = false;
        let mut moved = Offsets::new();
        for (partition, offset) in offsets {
            if self.sealed.get(&partition) != Some(&offset) {
                self.sealed.insert(partition.clone(), offset.clone());
                moved.insert(partition, offset);
            }
        }
        moved
    }

    /// One that is committed already, of an epoch that moves none.
    pub(super) fn any(&self) -> Option<(TopicPartition, OffsetAndMetadata)> {
        let (partition, offset) = self.sealed.iter().chain(&self.begun).next()?;
        Some((partition.clone(), offset.clone()))
    }

    /// What was sealed is committed.
    pub(super) fn commit(&mut self) {
        self.committed.clone_from(&self.sealed);
    }

    /// What was sealed and not committed is undone.
    pub(super) fn abort(&mut self) {
        self.sealed.clone_from(&self.committed);
    }

    /// The offset that is committed of a partition.
    pub(super) fn committed(&self, partition: &TopicPartition) -> Option<i64> {
        self.committed.get(partition).map(|committed| committed.offset)
    }

    /// All that is committed, as far as it is known; of a partition the newest comes last.
    pub(super) fn all_committed(&self) -> impl Iterator<Item = (&TopicPartition, &OffsetAndMetadata)> {
        self.begun.iter().chain(&self.committed)
    }

    /// Another topic has taken the name of the one that a partition was read from.
    pub(super) fn forget(&mut self, forgotten: &TopicPartition) {
        self.retain(|partition| partition != forgotten);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(all: &[(i32, i64)]) -> Offsets {
        all.iter().map(|(partition, offset)| (input(*partition), OffsetAndMetadata::new(*offset))).collect()
    }

    fn input(partition: i32) -> TopicPartition {
        TopicPartition::new("in", partition)
    }

    #[derive(Debug)]
    enum Step {
        /// Sealed with all of these, of which the second have moved.
        Seal(&'static [(i32, i64)], &'static [(i32, i64)]),
        Commit,
        Abort,
        Forget(i32),
    }
    use Step::{Abort, Commit, Forget, Seal};

    /// A task that goes on from 5 of the first partition; what is committed in the end, with that.
    fn check(steps: &[Step], expected: &[(i32, i64)]) {
        let mut task = TaskOffsets::resume(offsets(&[(0, 5)]));
        for step in steps {
            match step {
                Seal(all, moved) => assert_eq!(task.seal(offsets(all)), offsets(moved), "{steps:?}"),
                Commit => task.commit(),
                Abort => task.abort(),
                Forget(partition) => task.forget(&input(*partition)),
            }
        }
        let committed = task.all_committed().map(|(name, offset)| (name.clone(), offset.clone()));
        assert_eq!(committed.collect::<Offsets>(), offsets(expected), "{steps:?}");
    }

    #[test]
    fn what_has_moved_is_committed_or_undone() {
        check(&[], &[(0, 5)]);
        check(&[Seal(&[(0, 7), (1, 2)], &[(0, 7), (1, 2)])], &[(0, 5)]);
        check(&[Seal(&[(0, 7), (1, 2)], &[(0, 7), (1, 2)]), Commit], &[(0, 7), (1, 2)]);
        check(
            &[Seal(&[(0, 7)], &[(0, 7)]), Commit, Seal(&[(0, 7), (1, 2)], &[(1, 2)]), Commit],
            &[(0, 7), (1, 2)],
        );
        // What was undone has moved once more.
        check(&[Seal(&[(0, 7)], &[(0, 7)]), Abort, Seal(&[(0, 7)], &[(0, 7)]), Commit], &[(0, 7)]);
        check(&[Seal(&[(0, 7)], &[(0, 7)]), Commit, Seal(&[(0, 9)], &[(0, 9)]), Abort], &[(0, 7)]);
        check(&[Seal(&[(0, 7), (1, 2)], &[(0, 7), (1, 2)]), Commit, Forget(0)], &[(1, 2)]);
    }

    #[test]
    fn where_it_begins_is_told_once() {
        let mut task = TaskOffsets::default();
        assert!(!task.begins() && task.any().is_none());
        task.begin();
        assert!(task.begins());
        assert_eq!(task.seal(offsets(&[(0, 0)])), offsets(&[(0, 0)]));
        assert!(!task.begins());
        task.commit();
        assert_eq!(task.seal(offsets(&[(0, 0)])), Offsets::new());
        assert_eq!(task.any().map(|(partition, _)| partition), Some(input(0)));
        assert_eq!(task.committed(&input(0)), Some(0));
    }
}
