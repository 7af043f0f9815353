//! Ranges of keys in stores whose rows have something behind the key: a window, a session.
//!
//! Keys are of any length, so rows of a longer key may lie between two rows of a shorter one that it begins with. A scan
//! covers all rows that may match, and whoever scans looks at each key.

use std::ops::Bound;

use anabranch_state_store::KeyRange;

use super::KeyBounds;

/// A range that covers every row whose key lies within `keys` and whose suffix begins with no more than `last`, which is
/// not empty.
pub(super) fn composite_bounds(keys: &KeyBounds, last: &[u8]) -> KeyBounds {
    let start = match &keys.0 {
        Bound::Included(key) | Bound::Excluded(key) => Bound::Included(key.clone()),
        Bound::Unbounded => Bound::Unbounded,
    };
    let end = match &keys.1 {
        Bound::Included(key) | Bound::Excluded(key) => end_of(key, last),
        Bound::Unbounded => Bound::Unbounded,
    };
    (start, end)
}

/// A range that covers every row whose key lies within `keys` and whose time, the first 8 bytes behind the key, lies from
/// `from` to `to`. For one key it is hardly more than that.
pub(super) fn timed_bounds(keys: &KeyBounds, (from, to): (i64, i64)) -> KeyBounds {
    match keys {
        (Bound::Included(key), Bound::Included(last)) if key == last => {
            let row = |time: i64, behind: &[u8]| [key, &time.to_be_bytes()[..], behind].concat();
            (Bound::Included(row(from, &[])), Bound::Included(row(to, &[u8::MAX; 8])))
        }
        _ => composite_bounds(keys, &to.max(0).to_be_bytes()),
    }
}

/// The same range for a table.
pub(crate) fn key_range(bounds: &KeyBounds) -> KeyRange<'_> {
    KeyRange::new(bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice))
}

/// Behind the rows of all keys up to `key`. A key that `key` begins with has a suffix where `key` has its next byte, and
/// may lie behind it.
fn end_of(key: &[u8], last: &[u8]) -> Bound<Vec<u8>> {
    let first = last[0];
    match key.iter().position(|byte| *byte <= first) {
        // Every suffix lies before the next byte.
        None => {
            let mut end = key.to_vec();
            end.extend_from_slice(last);
            end.extend_from_slice(&[u8::MAX; 8]);
            Bound::Included(end)
        }
        Some(at) => {
            let mut end = key[..at].to_vec();
            match first.checked_add(1) {
                Some(behind) => end.push(behind),
                None => return Bound::Unbounded,
            }
            Bound::Excluded(end)
        }
    }
}

/// Whether a key lies within a range.
pub(crate) fn within(keys: &KeyBounds, key: &[u8]) -> bool {
    let starts = match &keys.0 {
        Bound::Included(first) => key >= first.as_slice(),
        Bound::Excluded(before) => key > before.as_slice(),
        Bound::Unbounded => true,
    };
    starts
        && match &keys.1 {
            Bound::Included(last) => key <= last.as_slice(),
            Bound::Excluded(behind) => key < behind.as_slice(),
            Bound::Unbounded => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No row that matches may be left out, whatever the keys' lengths.
    #[test]
    fn a_range_covers_every_row_that_matches() {
        let keys: Vec<Vec<u8>> = (0u32..85)
            .map(|n| {
                // All keys of up to three bytes of 0, 1, 0x7f and 0xff.
                let mut n = n;
                let mut key = Vec::new();
                while n > 0 {
                    key.push([0, 1, 0x7f, 0xff][((n - 1) % 4) as usize]);
                    n = (n - 1) / 4;
                }
                key
            })
            .collect();
        let times = [0i64, 1, 255, 1 << 56, i64::MAX];
        for to in &keys {
            for last in times {
                let bounds = (Bound::Unbounded, Bound::Included(to.clone()));
                let range = composite_bounds(&bounds, &last.to_be_bytes());
                for key in keys.iter().filter(|key| within(&bounds, key)) {
                    for time in times.iter().filter(|time| **time <= last) {
                        let row = [key.as_slice(), &time.to_be_bytes(), &[0; 4]].concat();
                        let covered = match &range.1 {
                            Bound::Included(end) => row <= *end,
                            Bound::Excluded(end) => row < *end,
                            Bound::Unbounded => true,
                        };
                        assert!(covered, "key {key:?} at {time}, range to {to:?} at {last}");
                    }
                }
            }
        }
    }
}
