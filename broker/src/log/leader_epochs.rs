//! Which leader epoch began at which offset: `leader-epoch-checkpoint`.
//!
//! A follower that comes back asks where an epoch ended, and so finds where its log and its leader's part (KIP-101).
//! The file is Kafka's text, one `epoch start-offset` a line behind a version and a count.

use super::checkpoint::{lines_text, parse_lines};

/// An epoch and the offset of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderEpoch {
    /// The epoch.
    pub epoch: i32,
    /// Its first offset.
    pub start_offset: i64,
}

/// The epochs of one log, both columns rising.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeaderEpochs {
    entries: Vec<LeaderEpoch>,
}

impl LeaderEpochs {
    /// Reads the file's text; lines that cannot follow the ones before end it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut epochs = LeaderEpochs::default();
        for fields in parse_lines(text)? {
            let &[epoch, start_offset] = fields.as_slice() else { return None };
            let (epoch, start_offset) = (epoch.parse().ok()?, start_offset.parse().ok()?);
            if epochs.latest().is_some_and(|last| epoch <= last.epoch || start_offset < last.start_offset) {
                return None;
            }
            epochs.entries.push(LeaderEpoch { epoch, start_offset });
        }
        Some(epochs)
    }

    /// The file's text.
    pub(super) fn to_text(&self) -> String {
        lines_text(self.entries.iter().map(|entry| format!("{} {}", entry.epoch, entry.start_offset)))
    }

    pub(super) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().copied()
    }

    pub(super) fn entries(&self) -> &[LeaderEpoch] {
        &self.entries
    }

    /// Notes that a record of `epoch` lies at `offset`. Returns whether that is news.
    pub(super) fn assign(&mut self, epoch: i32, offset: i64) -> bool {
        if epoch < 0 || self.latest().is_some_and(|last| epoch <= last.epoch) {
            return false;
        }
        // An epoch that began here and got no record gives way.
        self.entries.retain(|entry| entry.start_offset < offset);
        self.entries.push(LeaderEpoch { epoch, start_offset: offset });
        true
    }

    /// The epoch of the record at `offset`.
    pub(super) fn epoch_of(&self, offset: i64) -> Option<i32> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        after.checked_sub(1).map(|at| self.entries[at].epoch)
    }

    /// The largest epoch that is not above `epoch`, and where it ends; `log_end_offset` is where the newest one does.
    pub(super) fn end_offset_of(&self, epoch: i32, log_end_offset: i64) -> Option<(i32, i64)> {
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end_offset = self.entries.get(after).map_or(log_end_offset, |next| next.start_offset);
        // A future epoch is not known here: whoever asks for it is ahead of this log.
        let is_future = after == self.entries.len() && self.latest().is_some_and(|last| last.epoch < epoch);
        match after.checked_sub(1) {
            Some(at) if !is_future => Some((self.entries[at].epoch, end_offset)),
            _ => None,
        }
    }

    /// Forgets what begins at `offset` or behind it. Returns whether there was any.
    pub(super) fn truncate_end(&mut self, offset: i64) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start_offset < offset);
        self.entries.len() != before
    }

    /// Forgets what ended before `offset`; the epoch that spans it begins there now. Returns whether anything changed.
    pub(super) fn truncate_start(&mut self, offset: i64) -> bool {
        let spans = self.entries.partition_point(|entry| entry.start_offset <= offset);
        let Some(at) = spans.checked_sub(1) else { return false };
        if at == 0 && self.entries[0].start_offset == offset {
            return false;
        }
        self.entries.drain(..at);
        self.entries[0].start_offset = offset;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let entries =
            entries.iter().map(|&(epoch, start_offset)| LeaderEpoch { epoch, start_offset }).collect();
        LeaderEpochs { entries }
    }

    #[test]
    fn the_text_is_kafkas_and_leads_back() {
        let some = epochs(&[(0, 0), (3, 17), (4, 17)]);
        assert_eq!(some.to_text(), "0\n3\n0 0\n3 17\n4 17\n");
        assert_eq!(LeaderEpochs::parse(&some.to_text()), Some(some));
        assert_eq!(LeaderEpochs::parse("0\n0\n"), Some(LeaderEpochs::default()));
        for bad in [
            "",
            "1\n0\n",
            "0\n2\n0 0\n",
            "0\n1\n0 0\n1 1\n",
            "0\n2\n1 0\n0 5\n",
            "0\n1\nx 0\n",
            "0\n1\n0 0 0\n",
        ] {
            assert_eq!(LeaderEpochs::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_epoch_begins_with_its_first_record() {
        let mut all = LeaderEpochs::default();
        assert!(all.assign(0, 0));
        assert!(!all.assign(0, 5));
        assert!(!all.assign(-1, 5), "a batch without an epoch");
        assert!(all.assign(2, 10));
        assert!(!all.assign(1, 12), "epochs never fall");
        assert!(all.assign(3, 10), "an epoch without records gives way");
        assert_eq!(all, epochs(&[(0, 0), (3, 10)]));
        assert_eq!(
            [-1, 0, 9, 10, 99].map(|offset| all.epoch_of(offset)),
            [None, Some(0), Some(0), Some(3), Some(3)]
        );
    }

    #[test]
    fn where_epochs_end() {
        let all = epochs(&[(1, 5), (3, 10), (4, 20)]);
        let cases = [
            (0, None),
            (1, Some((1, 10))),
            (2, Some((1, 10))),
            (3, Some((3, 20))),
            (4, Some((4, 33))),
            (5, None),
        ];
        for (epoch, expected) in cases {
            assert_eq!(all.end_offset_of(epoch, 33), expected, "{epoch}");
        }
    }

    #[test]
    fn both_ends_can_be_cut() {
        let mut all = epochs(&[(1, 5), (3, 10), (4, 20)]);
        assert!(!all.truncate_end(21));
        assert!(all.truncate_end(20));
        assert_eq!(all, epochs(&[(1, 5), (3, 10)]));
        assert!(!all.truncate_start(5) && !all.truncate_start(2));
        assert!(all.truncate_start(7));
        assert_eq!(all, epochs(&[(1, 7), (3, 10)]));
        assert!(all.truncate_start(15));
        assert_eq!(all, epochs(&[(3, 15)]));
    }
}
