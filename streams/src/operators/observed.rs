//! How far its stream has got, as a windowed aggregate sees it.
//!
//! The time stands beside the offsets, and so is that of the last commit, while rows that come back from a changelog may be
//! ahead of it. Before its first record an aggregate lets its store go by that time: what the rows would have expired is
//! still to be counted.

use crate::error::Result;
use crate::processor::{MemoId, TaskState};
use crate::state::Stores;

/// The time, and whether the store knows of it.
pub(super) struct Observed {
    memo: MemoId,
    resumed: bool,
}

impl Observed {
    pub(super) fn new(memo: MemoId) -> Self {
        Observed { memo, resumed: false }
    }

    /// A record has come: the highest time by now. The first one lets `resume` tell the store how far the stream had got.
    pub(super) fn raise(
        &mut self,
        state: &mut TaskState,
        timestamp: i64,
        resume: impl FnOnce(&mut Stores, i64) -> Result<()>,
    ) -> Result<i64> {
        if !std::mem::replace(&mut self.resumed, true) {
            resume(&mut state.stores, state.memos.get(self.memo))?;
        }
        Ok(state.memos.raise(self.memo, timestamp))
    }
}
