//! Local bytes, ours alone: how a store's rows and its head look on disk.
//!
//! ```text
//!   head:  version u8 = 1 | 0 or 1: a checkpoint follows | offset i64 | wall clock i64
//!   row:   timestamp i64 | length of headers, varint | headers | value
//! ```
//! Integers are big-endian. An engine may put something of its own behind a head.

use crate::error::{Error, Result};
use crate::row::{Checkpoint, Row, RowBuffer};

/// Version of the format above.
const VERSION: u8 = 1;
pub(super) const HEAD_BYTES: usize = 18;

/// The first record of a store.
pub(crate) fn encode_head(checkpoint: Option<Checkpoint>) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[0] = VERSION;
    if let Some(checkpoint) = checkpoint {
        head[1] = 1;
        head[2..10].copy_from_slice(&checkpoint.offset.to_be_bytes());
        head[10..18].copy_from_slice(&checkpoint.wall_clock_ms.to_be_bytes());
    }
    head
}

/// Reads the head of a store that has one; none is right only where nothing was ever written.
pub(crate) fn read_head(
    store: &str,
    head: Option<&[u8]>,
    is_empty: impl FnOnce() -> Result<bool>,
) -> Result<Option<Option<Checkpoint>>> {
    match head {
        Some(head) => decode_head(store, head).map(Some),
        None if is_empty()? => Ok(None),
        None => Err(Error::corrupt_store(store, "it has rows but no head")),
    }
}

/// Reads a head.
fn decode_head(store: &str, head: &[u8]) -> Result<Option<Checkpoint>> {
    match head.split_first() {
        Some((&VERSION, rest)) => {
            let corrupt = || Error::corrupt_store(store, "its head is damaged");
            let (flag, rest) = rest.split_first().ok_or_else(corrupt)?;
            let (offset, rest) = rest.split_first_chunk().ok_or_else(corrupt)?;
            let (wall_clock_ms, _) = rest.split_first_chunk().ok_or_else(corrupt)?;
            let (offset, wall_clock_ms) = (i64::from_be_bytes(*offset), i64::from_be_bytes(*wall_clock_ms));
            match flag {
                0 => Ok(None),
                1 => Ok(Some(Checkpoint { offset, wall_clock_ms })),
                _ => Err(corrupt()),
            }
        }
        Some((version, _)) => Err(Error::OtherVersion {
            what: format!("store `{store}`"),
            found: version.to_string(),
            known: VERSION.to_string(),
        }),
        None => Err(Error::corrupt_store(store, "its head is empty")),
    }
}

/// Writes a row behind what is in `out`.
pub(crate) fn encode_row(row: Row<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&row.timestamp.to_be_bytes());
    let mut length = row.headers.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(row.headers);
    out.extend_from_slice(row.value);
}

/// Reads a row; `None` if the bytes are none.
pub(crate) fn decode_row(bytes: &[u8]) -> Option<Row<'_>> {
    let (timestamp, mut rest) = bytes.split_first_chunk()?;
    let mut length = 0;
    for shift in (0..35).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let (headers, value) = rest.split_at_checked(length)?;
            return Some(Row { value, timestamp: i64::from_be_bytes(*timestamp), headers });
        }
    }
    None
}

/// Reads a row of `store` into `row`.
pub(crate) fn decode_into(store: &str, bytes: &[u8], row: &mut RowBuffer) -> Result<()> {
    row.set(decode_row(bytes).ok_or_else(|| Error::corrupt_store(store, "a row cannot be decoded"))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were() {
        for (value, timestamp, headers_length) in
            [(&b""[..], 0, 0), (b"v", -1, 1), (b"value", i64::MAX, 300), (b"", i64::MIN, 70_000)]
        {
            let headers = vec![5; headers_length];
            let row = Row { value, timestamp, headers: &headers };
            let mut bytes = Vec::new();
            encode_row(row, &mut bytes);
            assert_eq!(decode_row(&bytes), Some(row));
            assert_eq!(decode_row(&bytes[..8]), None);
            assert_eq!(headers_length == 0, decode_row(&bytes[..9]).is_some());
        }
        assert_eq!(decode_row(&[0xff; 40]), None);
    }

    #[test]
    fn heads_come_back_and_others_are_refused() {
        for checkpoint in [None, Some(Checkpoint { offset: 5, wall_clock_ms: -7 })] {
            assert_eq!(decode_head("s", &encode_head(checkpoint)).expect("our own"), checkpoint);
        }
        let mut head = encode_head(None);
        assert!(matches!(decode_head("s", &head[..17]), Err(Error::CorruptStore { .. })));
        head[1] = 2;
        assert!(matches!(decode_head("s", &head), Err(Error::CorruptStore { .. })));
        head[0] = 9;
        let error = decode_head("s", &head).expect_err("version 9");
        assert_eq!(error.to_string(), "store `s` has format version 9, this program knows 1");
        assert!(matches!(decode_head("s", &[]), Err(Error::CorruptStore { .. })));
    }
}
