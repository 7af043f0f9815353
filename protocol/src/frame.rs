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
