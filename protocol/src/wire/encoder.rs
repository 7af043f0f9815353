//! Writes values into segments: small ones into one buffer, large byte strings by reference.

use bytes::Bytes;

use super::{MAX_STRING_BYTES, Segments};

/// Bytes from this length on are referred to instead of copied. Below, a copy costs less than one more segment in the
/// write to the socket.
const REFER_FROM_BYTES: usize = 4096;

/// Collects an encoded message. Nothing can fail: what a sender must bound (the length of strings) it bounds before.
#[derive(Debug, Default)]
pub struct Encoder {
    buffer: Vec<u8>,
    /// Where in `buffer` which bytes belong, in ascending order.
    references: Vec<(usize, Bytes)>,
    /// Inside a tagged field, whose size is found by looking at the buffer, all is copied.
    copy_all: bool,
}

impl Encoder {
    /// An empty encoder.
    pub fn new() -> Self {
        Encoder { buffer: Vec::with_capacity(256), references: Vec::new(), copy_all: false }
    }

    /// An encoder of a frame: four bytes are kept for its length, which [`Encoder::finish_frame`] writes.
    pub fn new_frame() -> Self {
        let mut encoder = Self::new();
        encoder.put_i32(0);
        encoder
    }

    /// What was written.
    pub fn finish(self) -> Segments {
        if self.references.is_empty() {
            return Segments::from(Bytes::from(self.buffer));
        }
        let mut buffer = Bytes::from(self.buffer);
        let mut parts = Vec::with_capacity(2 * self.references.len() + 1);
        let mut start = 0;
        for (position, bytes) in self.references {
            if position > start {
                parts.push(buffer.split_to(position - start));
                start = position;
            }
            parts.push(bytes);
        }
        if !buffer.is_empty() {
            parts.push(buffer);
        }
        Segments::from(parts)
    }

    /// What was written after [`Encoder::new_frame`], with the length in front.
    pub fn finish_frame(mut self) -> Segments {
        let referred: usize = self.references.iter().map(|(_, bytes)| bytes.len()).sum();
        let length = length_i32(self.buffer.len() - 4 + referred);
        self.buffer[..4].copy_from_slice(&length.to_be_bytes());
        self.finish()
    }

    /// Bytes without a length.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// A byte.
    #[inline]
    pub fn put_i8(&mut self, value: i8) {
        self.buffer.push(value as u8);
    }

    /// Two bytes, big endian as all that follow.
    #[inline]
    pub fn put_i16(&mut self, value: i16) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Two bytes without sign.
    #[inline]
    pub fn put_u16(&mut self, value: u16) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Four bytes.
    #[inline]
    pub fn put_i32(&mut self, value: i32) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Four bytes without sign.
    #[inline]
    pub fn put_u32(&mut self, value: u32) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Eight bytes.
    #[inline]
    pub fn put_i64(&mut self, value: i64) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Eight bytes of floating point.
    #[inline]
    pub fn put_f64(&mut self, value: f64) {
        self.put_slice(&value.to_be_bytes());
    }

    /// An unsigned integer of seven bits a byte, lowest first.
    #[inline]
    pub fn put_uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }

    /// A string. One longer than the wire can carry is cut at the last character that fits: names that long are
    /// refused before, so this meets error texts only.
    #[inline]
    pub fn put_string(&mut self, flexible: bool, value: &str) {
        let value = if value.len() > MAX_STRING_BYTES { cut(value) } else { value };
        if flexible {
            self.put_uvarint(value.len() as u32 + 1);
        } else {
            self.put_i16(value.len() as i16);
        }
        self.put_slice(value.as_bytes());
    }

    /// A null instead of a string.
    #[inline]
    pub fn put_null_string(&mut self, flexible: bool) {
        if flexible { self.put_uvarint(0) } else { self.put_i16(-1) }
    }

    /// Bytes, by reference if that is worth it.
    #[inline]
    pub fn put_bytes(&mut self, flexible: bool, value: &Bytes) {
        self.put_length(flexible, value.len());
        if value.len() < REFER_FROM_BYTES || self.copy_all {
            self.put_slice(value);
        } else {
            self.references.push((self.buffer.len(), value.clone()));
        }
    }

    /// The length of bytes or of an array.
    #[inline]
    pub fn put_length(&mut self, flexible: bool, length: usize) {
        let length = length_i32(length);
        if flexible { self.put_uvarint(length as u32 + 1) } else { self.put_i32(length) }
    }

    /// A null instead of bytes or of an array.
    #[inline]
    pub fn put_null(&mut self, flexible: bool) {
        if flexible { self.put_uvarint(0) } else { self.put_i32(-1) }
    }

    /// A tagged field: its tag, the size of what `write` writes, and that.
    pub fn put_tagged(&mut self, tag: u32, write: impl FnOnce(&mut Encoder)) {
        self.put_uvarint(tag);
        let start = self.buffer.len();
        let copied_all = std::mem::replace(&mut self.copy_all, true);
        // One byte is enough for the size of nearly every tagged field; a longer one moves the field.
        self.buffer.push(0);
        write(self);
        self.copy_all = copied_all;
        let size = self.buffer.len() - start - 1;
        if size < 0x80 {
            self.buffer[start] = size as u8;
        } else {
            let field = self.buffer.split_off(start + 1);
            self.buffer.truncate(start);
            self.put_uvarint(size as u32);
            self.buffer.extend_from_slice(&field);
        }
    }
}

#[inline]
fn length_i32(length: usize) -> i32 {
    i32::try_from(length).expect("what is encoded is in memory and bounded far below 2 GiB")
}

#[cold]
fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(MAX_STRING_BYTES)]
}
