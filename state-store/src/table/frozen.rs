//! Entries as they were at some moment, seen through the undo lists that were open then.

use std::sync::Arc;

use super::entry::Entry;
use super::kept::Kept;
use super::slab::{FrozenChunks, frozen_entry, frozen_slots};
use super::undo::UndoList;
use crate::row::Row;

/// The open undo lists of a table, newest first, with their epochs.
pub(crate) type UndoLists<'a> = [Option<(u64, &'a UndoList)>; 2];

/// The row of an entry as of the epoch `committed`: that of the oldest list which has it, else the newest.
pub(crate) fn committed_row<'a>(entry: &'a Entry, committed: u64, lists: UndoLists<'a>) -> Option<Row<'a>> {
    let (mut row, mut epoch, mut undo) = (entry.row(), entry.epoch, entry.undo);
    while epoch > committed {
        let Some((_, list)) = lists.into_iter().flatten().find(|(of, _)| *of == epoch) else { break };
        let previous = list.previous(undo);
        (row, epoch, undo) = (previous.row, previous.epoch, previous.undo);
    }
    row
}

/// What a snapshot of a table holds.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) chunks: FrozenChunks,
    /// Rows are shown as of this epoch; `u64::MAX` for the newest ones.
    pub(crate) committed: u64,
    pub(crate) lists: [Option<(u64, Arc<Kept<UndoList>>)>; 2],
}

impl Frozen {
    /// The newest rows.
    pub(crate) fn newest(chunks: FrozenChunks) -> Self {
        Frozen { chunks, committed: u64::MAX, lists: [None, None] }
    }

    pub(crate) fn entry(&self, slot: u32) -> &Entry {
        frozen_entry(&self.chunks, slot)
    }

    /// One more than the highest slot.
    pub(crate) fn slots(&self) -> u32 {
        frozen_slots(&self.chunks)
    }

    pub(crate) fn row(&self, slot: u32) -> Option<Row<'_>> {
        let list = |at: usize| self.lists[at].as_ref().map(|(epoch, list)| (*epoch, &***list));
        committed_row(self.entry(slot), self.committed, [list(0), list(1)])
    }
}
