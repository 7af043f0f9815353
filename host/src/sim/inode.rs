//! A simulated file: what a reader sees, what the platter holds, and the changes between the two.
//!
//! A change is durable once a sync that began after it has ended. Until then a loss of power may leave it whole, leave
//! some sectors of it, or nothing, and later changes without earlier ones.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::content::{Content, PAGE_BYTES, pieces};
use super::dice::Dice;
use super::options::DiskOptions;

/// The disk writes a sector whole or not at all.
const SECTOR_BYTES: usize = 512;
/// With more unsynced bytes than this the operating system writes some out by itself.
const WRITE_BACK_BYTES: usize = 4 << 20;

/// A file, whatever its names.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// What is read: the page cache.
    live: Content,
    /// What the disk holds for certain.
    durable: Content,
    pending: VecDeque<(u64, Change)>,
    pending_bytes: usize,
    changes_made: u64,
    /// Space that is kept for it.
    reserved_bytes: u64,
    failed: Option<AfterFailure>,
    /// Open files of it.
    pub(super) handles: u32,
    /// Names that lead to it.
    pub(super) links: u32,
    /// The open file that has locked it.
    pub(super) locked_by: Option<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Bytes },
    SetLen(u64),
}

/// What a sync says when one before has failed.
#[derive(Clone, Copy, Debug)]
enum AfterFailure {
    /// An error again.
    Error,
    /// All is well, though what the failed one should have written is lost: as Linux does.
    Lie,
}

/// A sync that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sync {
    /// Changes before this one are covered.
    pub(super) until: u64,
    pub(super) takes: Duration,
    pub(super) fails: bool,
}

impl File {
    pub(super) fn len(&self) -> u64 {
        self.live.len()
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        self.live.read(buffer, offset)
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        self.live.write(bytes, offset);
        self.pending_bytes += bytes.len();
        self.change(Change::Write { offset, bytes: Bytes::copy_from_slice(bytes) });
    }

    pub(super) fn set_len(&mut self, length: u64) {
        if length != self.len() {
            self.live.set_len(length);
            self.reserved_bytes = self.reserved_bytes.min(length);
            self.change(Change::SetLen(length));
        }
    }

    /// Keeps space for the first `length` bytes; the file is at least so long then.
    pub(super) fn allocate(&mut self, length: u64) {
        self.set_len(length.max(self.len()));
        self.reserved_bytes = self.reserved_bytes.max(length);
    }

    fn change(&mut self, change: Change) {
        self.pending.push_back((self.changes_made, change));
        self.changes_made += 1;
        while self.pending_bytes > WRITE_BACK_BYTES {
            self.apply_first();
        }
    }

    /// Pages of the disk that it occupies.
    pub(super) fn pages(&self) -> u64 {
        self.live.page_count().max(self.reserved_bytes.div_ceil(PAGE_BYTES as u64))
    }

    /// How much of a write fits if there are `free` more pages.
    pub(super) fn fits(&self, offset: u64, length: usize, free: u64) -> usize {
        let mut spare = free + self.pages() - self.live.page_count();
        for piece in pieces(offset, length) {
            if !self.live.has_page(piece.page) {
                let Some(left) = spare.checked_sub(1) else { return piece.range.start };
                spare = left;
            }
        }
        length
    }

    /// The number of the next change.
    pub(super) fn changes_made(&self) -> u64 {
        self.changes_made
    }

    pub(super) fn begin_sync(&self, options: &DiskOptions, dice: &mut Dice) -> Sync {
        Sync { until: self.changes_made, takes: options.sync_time(dice), fails: options.sync_fails(dice) }
    }

    /// Tells whether it went well.
    pub(super) fn end_sync(&mut self, sync: Sync, dice: &mut Dice) -> bool {
        match self.failed {
            Some(AfterFailure::Error) => return false,
            Some(AfterFailure::Lie) => {}
            None if sync.fails => {
                self.lose(sync.until, dice);
                self.failed = Some(if dice.happens(0.5) { AfterFailure::Error } else { AfterFailure::Lie });
                return false;
            }
            None => {}
        }
        while self.pending.front().is_some_and(|(number, _)| *number < sync.until) {
            self.apply_first();
        }
        true
    }

    fn apply_first(&mut self) {
        if let Some((_, change)) = self.pending.pop_front() {
            self.pending_bytes -= change.bytes();
            apply(&mut self.durable, &change);
        }
    }

    /// Of the changes before `until` a random part reaches the disk; the rest never will.
    fn lose(&mut self, until: u64, dice: &mut Dice) {
        let count = self.pending.iter().take_while(|(number, _)| *number < until).count() as u64;
        // All and nothing are common: so it goes when the last sync is just over, or long ago.
        let whole = match dice.below(4) {
            0 => 0,
            1 => count,
            _ => dice.below(count + 1),
        };
        let torn = dice.happens(0.5);
        for index in 0..count {
            let Some((_, change)) = self.pending.pop_front() else { break };
            self.pending_bytes -= change.bytes();
            if index < whole {
                apply(&mut self.durable, &change);
            } else if torn {
                apply_torn(&mut self.durable, &change, dice);
            }
        }
    }

    /// The power fails and comes back: only what is on the disk is left.
    pub(super) fn lose_power(&mut self, dice: &mut Dice) {
        self.lose(u64::MAX, dice);
        self.live = self.durable.clone();
        self.reserved_bytes = self.reserved_bytes.min(self.live.len());
        self.failed = None;
        self.end_process();
    }

    /// The process that had it open has ended.
    pub(super) fn end_process(&mut self) {
        self.handles = 0;
        self.locked_by = None;
    }

    /// Flips a bit, on the disk and in the page cache. Tells where; `None` if the file is empty.
    pub(super) fn corrupt(&mut self, dice: &mut Dice) -> Option<u64> {
        let offset = self.len().checked_sub(1).map(|last| dice.below(last + 1))?;
        let bit = 1 << dice.below(8);
        for content in [&mut self.live, &mut self.durable] {
            let mut byte = [0];
            if content.read(&mut byte, offset) == 1 {
                content.write(&[byte[0] ^ bit], offset);
            }
        }
        Some(offset)
    }
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Change::Write { bytes, .. } => bytes.len(),
            Change::SetLen(_) => 0,
        }
    }
}

fn apply(content: &mut Content, change: &Change) {
    match change {
        Change::Write { offset, bytes } => content.write(bytes, *offset),
        Change::SetLen(length) => content.set_len(*length),
    }
}

/// Each sector makes it or does not.
fn apply_torn(content: &mut Content, change: &Change, dice: &mut Dice) {
    match change {
        Change::Write { offset, bytes } => {
            let mut done = 0;
            while done < bytes.len() {
                let at = offset + done as u64;
                let in_sector =
                    usize::try_from(at % SECTOR_BYTES as u64).expect("below the bytes of a sector");
                let end = bytes.len().min(done + SECTOR_BYTES - in_sector);
                if dice.happens(0.5) {
                    content.write(&bytes[done..end], at);
                }
                done = end;
            }
        }
        Change::SetLen(length) if dice.happens(0.5) => content.set_len(*length),
        Change::SetLen(_) => {}
    }
}
