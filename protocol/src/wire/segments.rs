//! Encoded bytes as the list of their parts, ready for a vectored write.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// What an encoder wrote. As a `Buf` it is consumed part by part, so that a writer hands all parts to the socket at
/// once and goes on where the socket stopped.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    /// None of those from `next` on is empty.
    parts: Vec<Bytes>,
    next: usize,
    remaining: usize,
}

impl Segments {
    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.remaining
    }

    /// Whether no byte is left.
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// The parts that are left.
    pub fn parts(&self) -> &[Bytes] {
        &self.parts[self.next..]
    }

    /// All that is left in one piece; copies if there are several.
    pub fn into_bytes(mut self) -> Bytes {
        let remaining = self.remaining;
        self.copy_to_bytes(remaining)
    }
}

impl From<Bytes> for Segments {
    fn from(bytes: Bytes) -> Self {
        Segments::from(vec![bytes])
    }
}

impl From<Vec<Bytes>> for Segments {
    fn from(mut parts: Vec<Bytes>) -> Self {
        parts.retain(|part| !part.is_empty());
        let remaining = parts.iter().map(Bytes::len).sum();
        Segments { parts, next: 0, remaining }
    }
}

impl IntoIterator for Segments {
    type Item = Bytes;
    type IntoIter = std::iter::Skip<std::vec::IntoIter<Bytes>>;

    fn into_iter(self) -> Self::IntoIter {
        self.parts.into_iter().skip(self.next)
    }
}

impl Buf for Segments {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.parts.get(self.next).map_or(&[], |part| part)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let parts = self.parts();
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
        }
        slices.len().min(parts.len())
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "cannot advance past the end");
        self.remaining -= count;
        while count > 0 {
            let part = &mut self.parts[self.next];
            if count < part.len() {
                part.advance(count);
                return;
            }
            count -= part.len();
            // What is written is let go at once, not when the whole is.
            *part = Bytes::new();
            self.next += 1;
        }
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        match self.parts.get_mut(self.next) {
            Some(part) if count <= part.len() => {
                let taken = part.split_to(count);
                if part.is_empty() {
                    self.next += 1;
                }
                self.remaining -= count;
                taken
            }
            _ => {
                let mut whole = Vec::with_capacity(count);
                while whole.len() < count {
                    let chunk = self.chunk();
                    assert!(!chunk.is_empty(), "cannot copy past the end");
                    let taken = chunk.len().min(count - whole.len());
                    whole.extend_from_slice(&chunk[..taken]);
                    self.advance(taken);
                }
                Bytes::from(whole)
            }
        }
    }
}
