//! Keys that are longer than an engine's: all that begin with the same bytes are one row of the engine, a *bucket*.
//!
//! ```text
//!   key:     the first PREFIX_BYTES bytes of the keys in it
//!   value:   length of the rest of a key u32 | the rest | length of its row u32 | the row | the next ..., by key
//! ```
//!
//! The order of keys stays what it is: a shorter key differs from all keys of a bucket within its own length. A bucket is
//! read and written as a whole, which is slow, but such keys are rare.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// A key of as many bytes or more is in a bucket.
pub(super) const PREFIX_BYTES: usize = 65_534;

/// The rows of a bucket, by the rest of their keys.
pub(super) type Bucket = BTreeMap<Vec<u8>, Vec<u8>>;

/// The bucket of a key, and the rest of the key; `None` if it is short.
pub(super) fn split(key: &[u8]) -> Option<(&[u8], &[u8])> {
    key.split_at_checked(PREFIX_BYTES)
}

/// The key of a row as an engine has it: the key, or that of its bucket.
pub(super) fn shortened(key: &[u8]) -> &[u8] {
    &key[..key.len().min(PREFIX_BYTES)]
}

pub(super) fn encode(bucket: &Bucket) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in bucket.iter().flat_map(|(rest, row)| [rest, row]) {
        // A table takes no row whose bytes cannot be counted so.
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// # Errors
/// If the bytes are none.
pub(super) fn decode(store: &str, mut bytes: &[u8]) -> Result<Bucket> {
    let mut bucket = Bucket::new();
    let part = |bytes: &mut &[u8]| -> Option<Vec<u8>> {
        let (length, behind) = bytes.split_first_chunk()?;
        let (part, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        *bytes = behind;
        Some(part.to_vec())
    };
    while !bytes.is_empty() {
        let (Some(rest), Some(row)) = (part(&mut bytes), part(&mut bytes)) else {
            return Err(Error::corrupt_store(store, "rows with long keys cannot be decoded"));
        };
        bucket.insert(rest, row);
    }
    Ok(bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_come_back_as_they_were() {
        let bucket = |pairs: &[(&[u8], &[u8])]| -> Bucket {
            pairs.iter().map(|(rest, row)| (rest.to_vec(), row.to_vec())).collect()
        };
        for pairs in [&[][..], &[(&b""[..], &b"row"[..])], &[(b"a", b""), (b"b", &[7; 70_000])]] {
            let (bucket, bytes) = (bucket(pairs), encode(&bucket(pairs)));
            assert_eq!(decode("s", &bytes).expect("our own"), bucket);
            for cut in 1..bytes.len().min(9) {
                assert!(decode("s", &bytes[..bytes.len() - cut]).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn short_keys_are_in_no_bucket() {
        let key = vec![1; PREFIX_BYTES + 1];
        assert_eq!(split(&key[..PREFIX_BYTES - 1]), None);
        assert_eq!(
            split(&key[..PREFIX_BYTES]).map(|(prefix, rest)| (prefix.len(), rest.len())),
            Some((PREFIX_BYTES, 0))
        );
        assert_eq!(split(&key).map(|(prefix, rest)| (prefix.len(), rest.len())), Some((PREFIX_BYTES, 1)));
        assert_eq!((shortened(&key).len(), shortened(b"ab").len()), (PREFIX_BYTES, 2));
    }
}
