//! The offsets a group has committed, by topic and partition; those of open transactions apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::records::{GroupRecord, OffsetCommit};

/// A committed offset, and where in the order of all records of the log it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommittedOffset {
    pub(crate) commit: OffsetCommit,
    sequence: u64,
}

type ByPartition<T> = BTreeMap<Arc<str>, BTreeMap<i32, T>>;

/// The committed offsets of one group.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    committed: ByPartition<CommittedOffset>,
    /// By producer id: what becomes committed, or nothing, when the transaction ends.
    pending: BTreeMap<i64, ByPartition<CommittedOffset>>,
}

impl Offsets {
    /// Folds an offset commit record; `None` deletes. Only `replay` calls this.
    pub(super) fn replay(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        value: Option<&OffsetCommit>,
        producer_id: Option<i64>,
        sequence: u64,
    ) {
        let Some(commit) = value else {
            remove(&mut self.committed, topic, partition);
            self.pending.retain(|_, pending| {
                remove(pending, topic, partition);
                !pending.is_empty()
            });
            return;
        };
        let offset = CommittedOffset { commit: commit.clone(), sequence };
        let target = match producer_id {
            None => &mut self.committed,
            Some(producer_id) => self.pending.entry(producer_id).or_default(),
        };
        target.entry(topic.clone()).or_default().insert(partition, offset);
    }

    /// The transaction of `producer_id` has ended. The newest commit of a partition stays, also one made outside.
    pub(super) fn end_transaction(&mut self, producer_id: i64, is_commit: bool) {
        let pending = self.pending.remove(&producer_id).unwrap_or_default();
        if !is_commit {
            return;
        }
        for (topic, partitions) in pending {
            let committed = self.committed.entry(topic).or_default();
            for (partition, offset) in partitions {
                if committed.get(&partition).is_none_or(|existing| existing.sequence < offset.sequence) {
                    committed.insert(partition, offset);
                }
            }
        }
    }

    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&OffsetCommit> {
        self.committed.get(topic)?.get(&partition).map(|offset| &offset.commit)
    }

    /// Whether an open transaction is about to commit an offset for the partition.
    pub(crate) fn is_pending(&self, topic: &str, partition: i32) -> bool {
        self.pending
            .values()
            .any(|topics| topics.get(topic).is_some_and(|partitions| partitions.contains_key(&partition)))
    }

    pub(crate) fn has_open_transactions(&self) -> bool {
        !self.pending.is_empty()
    }

    /// No offsets and no open transaction.
    pub(crate) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    /// All committed offsets, topic by topic.
    pub(crate) fn topics(
        &self,
    ) -> impl Iterator<Item = (&Arc<str>, impl Iterator<Item = (i32, &OffsetCommit)>)> {
        self.committed.iter().map(|(topic, partitions)| {
            (topic, partitions.iter().map(|(partition, offset)| (*partition, &offset.commit)))
        })
    }

    /// Records that delete whatever is stored for the partitions for which `which` holds, also by open transactions.
    pub(super) fn tombstones(
        &self,
        group_id: &Arc<str>,
        which: impl Fn(&str, i32) -> bool,
    ) -> Vec<GroupRecord> {
        let mut found: BTreeMap<&Arc<str>, std::collections::BTreeSet<i32>> = BTreeMap::new();
        for (topic, partitions) in self.pending.values().flatten().chain(&self.committed) {
            let chosen = partitions.keys().copied().filter(|partition| which(topic, *partition));
            found.entry(topic).or_default().extend(chosen);
        }
        let found = found
            .into_iter()
            .flat_map(|(topic, partitions)| partitions.into_iter().map(move |partition| (topic, partition)));
        found
            .map(|(topic, partition)| GroupRecord::OffsetCommit {
                group_id: group_id.clone(),
                topic: topic.clone(),
                partition,
                value: None,
            })
            .collect()
    }
}

fn remove<T>(offsets: &mut ByPartition<T>, topic: &str, partition: i32) {
    if let Some(partitions) = offsets.get_mut(topic) {
        partitions.remove(&partition);
        if partitions.is_empty() {
            offsets.remove(topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(offset: i64) -> OffsetCommit {
        OffsetCommit { offset, ..OffsetCommit::default() }
    }

    /// Each step: the producer (0: none), and the offset to commit, or how the transaction ends.
    enum Step {
        Commit(Option<i64>, i64),
        Delete,
        End(i64, bool),
    }

    #[test]
    fn the_newest_commit_wins_whether_in_a_transaction_or_not() {
        use Step::{Commit, Delete, End};
        let cases: [(&[Step], Option<i64>, bool); 8] = [
            (&[Commit(None, 1), Commit(None, 2)], Some(2), false),
            (&[Commit(None, 1), Commit(Some(7), 2)], Some(1), true),
            (&[Commit(None, 1), Commit(Some(7), 2), End(7, true)], Some(2), false),
            (&[Commit(None, 1), Commit(Some(7), 2), End(7, false)], Some(1), false),
            (&[Commit(Some(7), 2), Commit(None, 1), End(7, true)], Some(1), false),
            (&[Commit(Some(7), 2), Commit(Some(8), 3), End(8, true), End(7, true)], Some(3), false),
            (&[Commit(None, 1), Commit(Some(7), 2), Delete, End(7, true)], None, false),
            (&[Commit(Some(7), 2), End(8, true)], None, true),
        ];
        for (number, (steps, expected, is_pending)) in cases.into_iter().enumerate() {
            let mut offsets = Offsets::default();
            let topic: Arc<str> = "t".into();
            for (sequence, step) in (0..).zip(steps) {
                match step {
                    Commit(producer_id, offset) => {
                        offsets.replay(&topic, 0, Some(&commit(*offset)), *producer_id, sequence)
                    }
                    Delete => offsets.replay(&topic, 0, None, None, sequence),
                    End(producer_id, is_commit) => offsets.end_transaction(*producer_id, *is_commit),
                }
            }
            assert_eq!(offsets.get("t", 0).map(|commit| commit.offset), expected, "case {number}");
            assert_eq!(offsets.is_pending("t", 0), is_pending, "case {number}");
        }
    }
}
