//! Keys that have a time in them: the rows of window stores, session stores and joins.
//!
//! ```text
//!   key:  group | time, eight bytes | number, four or eight bytes      (network order)
//! ```
//! The group is the record key, the time a window's start or a session's end. A *segment* is a stretch of time; its rows
//! expire together.

/// How the keys of a table are laid out, and how long its segments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedKeys {
    /// Bytes of the number behind the time: at most eight.
    pub number_bytes: usize,
    /// How long a segment is, in milliseconds: at least one.
    pub segment_ms: u64,
}

/// Time and number, which is the order of their bytes.
pub type Suffix = (u64, u64);

const TIME_BYTES: usize = size_of::<u64>();

impl TimedKeys {
    /// Bytes behind the group.
    #[must_use]
    pub const fn suffix_bytes(&self) -> usize {
        TIME_BYTES + self.number_bytes
    }

    /// Group and suffix of a key; `None` if it is too short to have them.
    #[inline]
    #[must_use]
    pub fn split<'k>(&self, key: &'k [u8]) -> Option<(&'k [u8], Suffix)> {
        let (group, suffix) = key.split_at_checked(key.len().checked_sub(self.suffix_bytes())?)?;
        let (time, number) = suffix.split_first_chunk::<TIME_BYTES>()?;
        let number = match number.first_chunk::<4>() {
            Some(four) if number.len() == 4 => u64::from(u32::from_be_bytes(*four)),
            _ => number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        };
        Some((group, (u64::from_be_bytes(*time), number)))
    }

    /// The segment of a time.
    #[must_use]
    pub const fn segment_at(&self, time: u64) -> u64 {
        time / self.segment_ms
    }

    /// The segment of a key; `None` if the key has no time.
    #[inline]
    #[must_use]
    pub fn segment_of(&self, key: &[u8]) -> Option<u64> {
        self.split(key).map(|(_, (time, _))| self.segment_at(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_cut_from_its_end() {
        for (number_bytes, key, expected) in [
            (4, b"k\0\0\0\0\0\0\x01\x02\0\0\0\x03".as_slice(), Some((&b"k"[..], (0x102, 3), 0x102 / 100))),
            (4, b"\0\0\0\0\0\0\0\0\0\0\0\x03", Some((b"", (0, 3), 0))),
            (8, b"key\0\0\0\0\0\0\0\xc8\0\0\0\0\0\0\0\xc7", Some((b"key", (200, 199), 2))),
            (0, b"\xff\xff\xff\xff\xff\xff\xff\xff", Some((b"", (u64::MAX, 0), u64::MAX / 100))),
            (4, b"\0\0\0\0\0\0\0\0\0\0\0", None),
            (8, b"", None),
        ] {
            let keys = TimedKeys { number_bytes, segment_ms: 100 };
            let (split, segment) = (keys.split(key), keys.segment_of(key));
            assert_eq!(
                split.zip(segment).map(|((group, suffix), id)| (group, suffix, id)),
                expected,
                "{key:?}"
            );
        }
    }
}
