//! Zigzag varints, the integers inside a record.

use super::RecordsError;

/// The most bytes a varint takes.
pub(super) const MAX_VARINT_BYTES: usize = 5;
/// The most bytes a varlong takes.
pub(super) const MAX_VARLONG_BYTES: usize = 10;

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Bytes that `value` takes.
pub(super) const fn varlong_len(value: i64) -> usize {
    // Seven bits a byte; `| 1` so that zero takes one byte.
    (70 - (zigzag(value) | 1).leading_zeros() as usize) / 7
}

/// Bytes that `value` takes; the same as for the varlong, since zigzag keeps small numbers small.
pub(super) const fn varint_len(value: i32) -> usize {
    varlong_len(value as i64)
}

/// Writes `value` to the front of `out` and returns the bytes taken. `out` must have room.
pub(super) fn write_varlong(out: &mut [u8], value: i64) -> usize {
    let mut rest = zigzag(value);
    let mut position = 0;
    while rest >= 0x80 {
        out[position] = (rest as u8) | 0x80;
        rest >>= 7;
        position += 1;
    }
    out[position] = rest as u8;
    position + 1
}

/// As [`write_varlong`].
pub(super) fn write_varint(out: &mut [u8], value: i32) -> usize {
    write_varlong(out, i64::from(value))
}

/// Takes a varint off the front of `from`.
#[inline]
pub(super) fn take_varint(from: &mut &[u8]) -> Result<i32, RecordsError> {
    if let [first @ 0..0x80, rest @ ..] = *from {
        let value = unzigzag(u64::from(*first)) as i32;
        *from = rest;
        return Ok(value);
    }
    let value = take_unsigned(from, MAX_VARINT_BYTES)?;
    // Kafka ignores bits above the 32nd in the fifth byte; so do we.
    Ok(unzigzag(value & 0xffff_ffff) as i32)
}

/// Takes a varlong off the front of `from`.
#[inline]
pub(super) fn take_varlong(from: &mut &[u8]) -> Result<i64, RecordsError> {
    if let [first @ 0..0x80, rest @ ..] = *from {
        let value = unzigzag(u64::from(*first));
        *from = rest;
        return Ok(value);
    }
    Ok(unzigzag(take_unsigned(from, MAX_VARLONG_BYTES)?))
}

fn take_unsigned(from: &mut &[u8], max_bytes: usize) -> Result<u64, RecordsError> {
    let mut value = 0;
    for position in 0..max_bytes {
        let Some(&byte) = from.get(position) else {
            return Err(RecordsError::InvalidRecord("a varint is cut off"));
        };
        value |= u64::from(byte & 0x7f) << (7 * position);
        if byte < 0x80 {
            *from = &from[position + 1..];
            return Ok(value);
        }
    }
    Err(RecordsError::InvalidRecord("a varint does not end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_take_kafkas_bytes() {
        let cases: &[(i64, &[u8])] = &[
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (-65, &[0x81, 0x01]),
            (8191, &[0xfe, 0x7f]),
            (-8193, &[0x81, 0x80, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ];
        for &(value, bytes) in cases {
            let mut out = [0; MAX_VARLONG_BYTES];
            let written = write_varlong(&mut out, value);
            assert_eq!(&out[..written], bytes, "{value}");
            assert_eq!(varlong_len(value), bytes.len(), "{value}");
            let mut from = bytes;
            assert_eq!(take_varlong(&mut from), Ok(value));
            assert!(from.is_empty());
            if let Ok(value) = i32::try_from(value) {
                let mut from = bytes;
                assert_eq!(take_varint(&mut from), Ok(value));
                assert_eq!(varint_len(value), bytes.len());
            }
        }
    }

    #[test]
    fn cut_and_endless_varints_are_refused() {
        assert!(take_varint(&mut [].as_slice()).is_err());
        assert!(take_varint(&mut [0x80].as_slice()).is_err());
        assert!(take_varint(&mut [0x80; 6].as_slice()).is_err());
        assert!(take_varlong(&mut [0x80; 11].as_slice()).is_err());
    }
}
