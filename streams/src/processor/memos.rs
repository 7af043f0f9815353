//! Operator state that is no row: named 64-bit values, saved with each epoch and rolled back with it.
//!
//! Observed stream times, the time of the last emission, sequence counters: Kafka Streams keeps most of them in memory
//! and forgets them with a restart, after which it accepts records that were late. Ours are committed in the metadata of
//! the offsets, so that a disturbed run equals an undisturbed one.

use std::sync::Arc;

/// The memos of a task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memos {
    names: Vec<Arc<str>>,
    values: Vec<i64>,
    kept: Vec<Kept>,
}

/// How long a memo is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// Committed beside the offsets.
    Committed,
    /// Rolled back by an abort, forgotten by a restart: a punctuation by the wall clock.
    ByTask,
    /// Forgotten by an abort too: a throttle by the wall clock.
    Volatile,
}

/// A memo's place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoId(usize);

/// What a memo holds until something is written to it. Nothing that is kept in memos is ever lower.
pub(crate) const UNKNOWN: i64 = -1;

impl Memos {
    /// The memo of this name, new or known.
    pub(crate) fn register(&mut self, name: &str) -> MemoId {
        if let Some(at) = self.names.iter().position(|known| &**known == name) {
            return MemoId(at);
        }
        self.names.push(name.into());
        self.values.push(UNKNOWN);
        self.kept.push(Kept::Committed);
        MemoId(self.names.len() - 1)
    }

    /// A value that nodes share like a memo and that is not kept.
    pub(crate) fn register_volatile(&mut self, name: &str) -> MemoId {
        let memo = self.register(name);
        self.kept[memo.0] = Kept::Volatile;
        memo
    }

    /// A value that an abort rolls back and a restart forgets.
    pub(crate) fn register_by_task(&mut self, name: &str) -> MemoId {
        let memo = self.register(name);
        self.kept[memo.0] = Kept::ByTask;
        memo
    }

    pub(crate) fn get(&self, memo: MemoId) -> i64 {
        self.values[memo.0]
    }

    /// Whether nothing was written to it yet.
    pub(crate) fn is_unknown(&self, memo: MemoId) -> bool {
        self.values[memo.0] == UNKNOWN
    }

    pub(crate) fn set(&mut self, memo: MemoId, value: i64) {
        self.values[memo.0] = value;
    }

    /// Raises a memo and gives what it is then.
    pub(crate) fn raise(&mut self, memo: MemoId, value: i64) -> i64 {
        let memo = &mut self.values[memo.0];
        *memo = value.max(*memo);
        *memo
    }

    /// Takes over a committed value. Each partition's metadata carries all memos: the highest is the last.
    pub(crate) fn merge(&mut self, name: &str, value: i64) {
        let memo = self.register(name);
        self.raise(memo, value);
    }

    /// What was written, by name.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&str, i64)> {
        let all = self.names.iter().map(|name| &**name).zip(self.values.iter().copied()).zip(&self.kept);
        all.filter(|((_, value), kept)| **kept == Kept::Committed && *value != UNKNOWN).map(|(memo, _)| memo)
    }

    /// The values, to be restored later, into memory that is there.
    pub(crate) fn save_to(&self, saved: &mut Vec<i64>) {
        saved.clone_from(&self.values);
    }

    /// Goes back to saved values. What was registered since then is unknown again.
    pub(crate) fn restore(&mut self, saved: &[i64]) {
        self.values.fill(UNKNOWN);
        for ((value, saved), kept) in self.values.iter_mut().zip(saved).zip(&self.kept) {
            if *kept != Kept::Volatile {
                *value = *saved;
            }
        }
    }
}
