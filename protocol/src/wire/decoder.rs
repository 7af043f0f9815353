//! Reads values out of one frame, never past its end and never more memory than the frame justifies.

use bytes::Bytes;

use super::MAX_STRING_BYTES;
use crate::error::DecodeError;

/// Kafka 4.4's bound of an array.
const MAX_ARRAY_ELEMENTS: usize = 1_000_000;
/// Kafka 4.4's bound of the tagged fields of one struct.
const MAX_TAGS: u32 = 10_000;

/// Decoding a frame may allocate this many times its bytes ...
const BUDGET_FACTOR: usize = 16;
/// ... but at least this much, so that small frames never fail ...
const MIN_BUDGET_BYTES: usize = 64 << 10;
/// ... and at most this much.
const MAX_BUDGET_BYTES: usize = 256 << 20;

/// A position in a frame. Strings borrow from the frame, `Bytes` share it.
#[derive(Debug)]
pub struct Decoder<'a> {
    frame: &'a Bytes,
    rest: &'a [u8],
    /// How many more bytes of memory may be allocated for what the frame holds.
    budget: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the beginning of `frame`.
    pub fn new(frame: &'a Bytes) -> Self {
        let budget = frame.len().saturating_mul(BUDGET_FACTOR).clamp(MIN_BUDGET_BYTES, MAX_BUDGET_BYTES);
        Decoder { frame, rest: frame, budget }
    }

    /// How many bytes are not yet read.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Ends decoding: nothing may be left.
    #[inline]
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }

    /// The next `count` bytes.
    #[inline]
    pub fn read_slice(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.truncated(count)),
        }
    }

    /// The next `count` bytes, sharing the frame's memory.
    #[inline]
    pub fn read_shared(&mut self, count: usize) -> Result<Bytes, DecodeError> {
        if count > self.rest.len() {
            return Err(self.truncated(count));
        }
        // `rest` ends inside the frame, not always at its end: a tagged field is read by a shorter decoder.
        let start = self.rest.as_ptr() as usize - self.frame.as_ptr() as usize;
        self.rest = &self.rest[count..];
        Ok(self.frame.slice(start..start + count))
    }

    #[inline]
    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.truncated(N)),
        }
    }

    #[cold]
    fn truncated(&self, needed: usize) -> DecodeError {
        DecodeError::Truncated { needed, left: self.rest.len() }
    }

    /// A byte.
    #[inline]
    pub fn read_i8(&mut self) -> Result<i8, DecodeError> {
        self.read_array().map(i8::from_be_bytes)
    }

    /// Two bytes, big endian as all that follow.
    #[inline]
    pub fn read_i16(&mut self) -> Result<i16, DecodeError> {
        self.read_array().map(i16::from_be_bytes)
    }

    /// Two bytes without sign.
    #[inline]
    pub fn read_u16(&mut self) -> Result<u16, DecodeError> {
        self.read_array().map(u16::from_be_bytes)
    }

    /// Four bytes.
    #[inline]
    pub fn read_i32(&mut self) -> Result<i32, DecodeError> {
        self.read_array().map(i32::from_be_bytes)
    }

    /// Four bytes without sign.
    #[inline]
    pub fn read_u32(&mut self) -> Result<u32, DecodeError> {
        self.read_array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    #[inline]
    pub fn read_i64(&mut self) -> Result<i64, DecodeError> {
        self.read_array().map(i64::from_be_bytes)
    }

    /// Eight bytes of floating point.
    #[inline]
    pub fn read_f64(&mut self) -> Result<f64, DecodeError> {
        self.read_array().map(f64::from_be_bytes)
    }

    /// Sixteen bytes.
    #[inline]
    pub fn read_16(&mut self) -> Result<[u8; 16], DecodeError> {
        self.read_array()
    }

    /// An unsigned integer of seven bits a byte, lowest first; at most five bytes.
    #[inline]
    pub fn read_uvarint(&mut self) -> Result<u32, DecodeError> {
        // Nearly every length and tag is below 128.
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u32::from(byte))
            }
            _ => self.read_long_uvarint(),
        }
    }

    fn read_long_uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for (index, &byte) in self.rest.iter().take(5).enumerate() {
            if index == 4 && byte > 0x0f {
                return Err(DecodeError::VarintTooLong);
            }
            value |= u32::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(self.truncated(self.rest.len() + 1))
    }

    /// The length of a string; `None` stands for null.
    #[inline]
    fn read_string_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            let length = match self.read_uvarint()? {
                0 => return Ok(None),
                more => more as usize - 1,
            };
            if length > MAX_STRING_BYTES {
                return Err(DecodeError::StringTooLong(length));
            }
            Ok(Some(length))
        } else {
            match self.read_i16()? {
                -1 => Ok(None),
                negative if negative < 0 => Err(DecodeError::NegativeLength(negative.into())),
                length => Ok(Some(length as usize)),
            }
        }
    }

    /// The length of bytes or of an array; `None` stands for null.
    #[inline]
    fn read_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            Ok((self.read_uvarint()? as usize).checked_sub(1))
        } else {
            match self.read_i32()? {
                -1 => Ok(None),
                negative if negative < 0 => Err(DecodeError::NegativeLength(negative)),
                length => Ok(Some(length as usize)),
            }
        }
    }

    /// A string or null.
    #[inline]
    pub fn read_string(&mut self, flexible: bool) -> Result<Option<&'a str>, DecodeError> {
        let Some(length) = self.read_string_length(flexible)? else { return Ok(None) };
        let bytes = self.read_slice(length)?;
        match std::str::from_utf8(bytes) {
            Ok(string) => Ok(Some(string)),
            Err(_) => Err(DecodeError::InvalidUtf8),
        }
    }

    /// Bytes or null, sharing the frame's memory.
    #[inline]
    pub fn read_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, DecodeError> {
        let Some(length) = self.read_length(flexible)? else { return Ok(None) };
        self.read_shared(length).map(Some)
    }

    /// The number of elements of an array, or `None` for null, once it is sure that the bytes left can hold so many
    /// of `min_wire_bytes` and that the budget covers them at `memory_bytes` each.
    #[inline]
    pub(super) fn read_array_length(
        &mut self,
        flexible: bool,
        min_wire_bytes: usize,
        memory_bytes: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let Some(count) = self.read_length(flexible)? else { return Ok(None) };
        // No overflow: both factors are below 2^32.
        if count > MAX_ARRAY_ELEMENTS || count * min_wire_bytes > self.rest.len() {
            return Err(DecodeError::ArrayTooLong(count));
        }
        match self.budget.checked_sub(count * memory_bytes) {
            Some(left) => self.budget = left,
            None => return Err(DecodeError::OverBudget),
        }
        Ok(Some(count))
    }

    /// The tagged fields that end a struct of a flexible version. `known` gets each tag with a decoder of just its
    /// bytes and tells whether it read them; a tag it does not know is skipped.
    #[inline]
    pub fn read_tags(
        &mut self,
        known: impl FnMut(u32, &mut Decoder<'a>) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        match self.read_uvarint()? {
            0 => Ok(()),
            count if count > MAX_TAGS => Err(DecodeError::TooManyTags(count)),
            count => self.read_some_tags(count, known),
        }
    }

    fn read_some_tags(
        &mut self,
        count: u32,
        mut known: impl FnMut(u32, &mut Decoder<'a>) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut previous = None;
        for _ in 0..count {
            let tag = self.read_uvarint()?;
            if previous.is_some_and(|previous| tag <= previous) {
                return Err(DecodeError::TagOutOfOrder(tag));
            }
            previous = Some(tag);
            let size = self.read_uvarint()? as usize;
            let mut field = Decoder { frame: self.frame, rest: self.read_slice(size)?, budget: self.budget };
            if known(tag, &mut field)? {
                if !field.rest.is_empty() {
                    return Err(DecodeError::TagSize(tag));
                }
                self.budget = field.budget;
            }
        }
        Ok(())
    }

    /// Skips the tagged fields of a struct that knows none.
    #[inline]
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        self.read_tags(|_, _| Ok(false))
    }
}
