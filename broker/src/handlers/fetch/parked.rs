//! What a parked fetch remembers of its last look at the logs, so that it reads them again only when there may be enough.
//!
//! What a reader can get who was given all that there was grows by no more than what is appended behind it. While the last
//! segment of a log is the same, that is how much larger it is than it was. Nothing is known, and it is looked again, where a
//! new one has begun, or the log begins later, or is gone; and where some of it could not be given yet, since it was not
//! synced, or of a transaction that was not decided. So a fetch that waits for many bytes does not read them at each step
//! of the high watermark, nor does it hold them.

use super::read::{Read, Target};
use crate::log::EndPosition;
use crate::partition::Isolation;
use crate::watermark::Durable;

/// What a parked fetch has seen, in the order of its targets.
pub(super) struct Parked {
    /// Memory was short: how much there is was not seen.
    was_limited: bool,
    partitions: Vec<Option<Seen>>,
}

/// What it has seen of a partition.
#[derive(Clone, Copy, Debug)]
struct Seen {
    high_watermark: i64,
    /// Bytes that it could have been given.
    bytes: usize,
    /// Where the log ended, if the reader could be given it up to there.
    log_end: Option<EndPosition>,
}

impl Parked {
    /// What `read` has shown.
    pub(super) fn after(read: &Read, isolation: Isolation) -> Parked {
        let seen = read.found.iter().map(|found| {
            found.offsets.map(|offsets| Seen {
                high_watermark: offsets.high_watermark,
                bytes: found.records.len(),
                log_end: Some(offsets.log_end).filter(|end| end.offset == offsets.readable_to(isolation)),
            })
        });
        Parked { was_limited: read.is_limited, partitions: seen.collect() }
    }

    /// Resolve when a high watermark moves above where it was seen, or a partition is gone.
    pub(super) fn moves(&self, targets: &[Target]) -> Vec<Durable> {
        let mut moves = Vec::with_capacity(targets.len());
        for (target, seen) in targets.iter().zip(&self.partitions) {
            if let (Ok(partition), Some(seen)) = (&target.partition, seen) {
                moves.push(partition.watermark().reached(seen.high_watermark));
            }
        }
        moves
    }

    /// Whether there may be as much now; if not, the next moves are those from here on.
    pub(super) fn may_be_enough(&mut self, targets: &[Target], min_bytes: usize) -> bool {
        let mut most_bytes: usize = 0;
        for (target, seen) in targets.iter().zip(&mut self.partitions) {
            let (Ok(partition), Some(seen)) = (&target.partition, seen) else { continue };
            // First: what is appended after this moves it once more.
            seen.high_watermark = partition.high_watermark();
            let is_there = partition.check().is_ok();
            let begins = partition.log_start_offset();
            let now =
                partition.log_end_position().filter(|_| is_there && begins <= target.wanted.fetch_offset);
            let max_bytes = usize::try_from(target.wanted.max_bytes).unwrap_or(0);
            match now.and_then(|now| seen.most_bytes(now, max_bytes)) {
                Some(bytes) => most_bytes = most_bytes.saturating_add(bytes),
                None => return true,
            }
        }
        self.was_limited || most_bytes >= min_bytes
    }
}

impl Seen {
    /// How many bytes there can be at most when the log ends there; none: that is not known.
    fn most_bytes(&self, now: EndPosition, max_bytes: usize) -> Option<usize> {
        let before = self.log_end.filter(|before| before.base_offset == now.base_offset)?;
        let appended = now.bytes.checked_sub(before.bytes)? as usize;
        // The first batch may be larger than the limit; any other may not.
        let limit = if self.bytes == 0 { usize::MAX } else { max_bytes.max(self.bytes) };
        Some(self.bytes.saturating_add(appended).min(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_grows_with_the_last_segment() {
        let check = |bytes, (base_offset, end), max_bytes, expected| {
            let log_end = EndPosition { offset: 9, base_offset: 5, bytes: 1000 };
            let now = EndPosition { offset: 20, base_offset, bytes: end };
            let seen = Seen { high_watermark: 9, bytes, log_end: Some(log_end) };
            assert_eq!(seen.most_bytes(now, max_bytes), expected);
            // What could not be given may be what comes.
            assert_eq!(Seen { log_end: None, ..seen }.most_bytes(now, max_bytes), None);
        };
        check(0, (5, 1000), 100, Some(0));
        check(0, (5, 3000), 100, Some(2000));
        check(50, (5, 1020), 100, Some(70));
        check(50, (5, 3000), 100, Some(100));
        check(500, (5, 3000), 100, Some(500));
        // Another segment, or one that is shorter than it was.
        check(50, (8, 3000), 100, None);
        check(50, (5, 900), 100, None);
    }
}
