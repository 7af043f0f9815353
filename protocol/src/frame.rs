//! How frames are cut out of a stream: four bytes of length, then as many bytes.
//!
//! The buffer grows as bytes arrive, never to a claimed length: four hostile bytes cost nothing.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of the length before a frame.
pub const LENGTH_BYTES: usize = 4;

/// A length that cannot be a frame's. The stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Below zero.
    #[error("frame of negative length {0}")]
    NegativeLength(i32),
    /// Above what the reader allows.
    #[error("frame of {length} bytes, at most {max_bytes} are allowed")]
    TooLong {
        /// What the stream claims.
        length: usize,
        /// What the reader allows.
        max_bytes: usize,
    },
}

/// Cuts the first frame out of what has arrived, without its length; `None` if it is not yet complete.
pub fn take_frame(arrived: &mut BytesMut, max_bytes: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(length) = arrived.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    let length = usize::try_from(length).map_err(|_| FrameError::NegativeLength(length))?;
    if length > max_bytes {
        return Err(FrameError::TooLong { length, max_bytes });
    }
    if arrived.len() - LENGTH_BYTES < length {
        return Ok(None);
    }
    arrived.advance(LENGTH_BYTES);
    Ok(Some(arrived.split_to(length).freeze()))
}

/// How many bytes are missing of the frame whose beginning has arrived; `None` if not even its length is there, or the
/// length is none. For a reader that wants to make room: it must not believe a large one at once.
#[must_use]
pub fn missing_bytes(arrived: &[u8]) -> Option<usize> {
    let length = i32::from_be_bytes(*arrived.first_chunk::<LENGTH_BYTES>()?);
    Some((LENGTH_BYTES + usize::try_from(length).ok()?).saturating_sub(arrived.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arrived: &[u8], expected: Result<Option<&[u8]>, FrameError>, left: &[u8]) {
        let mut buffer = BytesMut::from(arrived);
        let taken = take_frame(&mut buffer, 100);
        assert_eq!(taken, expected.map(|frame| frame.map(Bytes::copy_from_slice)), "{arrived:?}");
        assert_eq!(buffer, left, "{arrived:?}");
    }

    #[test]
    fn frames_are_cut_one_by_one() {
        check(&[], Ok(None), &[]);
        check(&[0, 0, 0], Ok(None), &[0, 0, 0]);
        check(&[0, 0, 0, 2, 7], Ok(None), &[0, 0, 0, 2, 7]);
        check(&[0, 0, 0, 2, 7, 8], Ok(Some(&[7, 8])), &[]);
        check(&[0, 0, 0, 2, 7, 8, 0, 0], Ok(Some(&[7, 8])), &[0, 0]);
        check(&[0, 0, 0, 0, 9], Ok(Some(&[])), &[9]);
    }

    #[test]
    fn what_is_missing_is_told() {
        for (arrived, expected) in [
            (&[][..], None),
            (&[0, 0, 0], None),
            (&[0, 0, 1, 0], Some(256)),
            (&[0, 0, 0, 2, 7], Some(1)),
            (&[0, 0, 0, 2, 7, 8, 9], Some(0)),
            (&[0xff; 4], None),
        ] {
            assert_eq!(missing_bytes(arrived), expected, "{arrived:?}");
        }
    }

    #[test]
    fn an_impossible_length_is_an_error_at_once() {
        let long = [0, 0, 0, 101];
        check(&long, Err(FrameError::TooLong { length: 101, max_bytes: 100 }), &long);
        check(&[0xff; 4], Err(FrameError::NegativeLength(-1)), &[0xff; 4]);
        check(
            &[0x7f, 0xff, 0xff, 0xff],
            Err(FrameError::TooLong { length: 0x7fff_ffff, max_bytes: 100 }),
            &[0x7f, 0xff, 0xff, 0xff],
        );
    }
}
