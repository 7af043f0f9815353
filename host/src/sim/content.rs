//! The bytes of a simulated file, by page: holes and preallocated space cost nothing.

use std::collections::BTreeMap;

/// Bytes in a page; also the unit in which space on the disk is counted.
pub(super) const PAGE_BYTES: usize = 4096;

/// Bytes that can be read and written at any offset; what was never written is zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    length: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    pub(super) fn page_count(&self) -> u64 {
        self.pages.len() as u64
    }

    pub(super) fn has_page(&self, number: u64) -> bool {
        self.pages.contains_key(&number)
    }

    /// Reads up to the end.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let left = self.length.saturating_sub(offset);
        let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        for Piece { page, start, range } in pieces(offset, count) {
            let piece = &mut buffer[range];
            match self.pages.get(&page) {
                Some(bytes) => piece.copy_from_slice(&bytes[start..start + piece.len()]),
                None => piece.fill(0),
            }
        }
        count
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        for Piece { page, start, range } in pieces(offset, bytes.len()) {
            let piece = &bytes[range];
            let page = self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE_BYTES]));
            page[start..start + piece.len()].copy_from_slice(piece);
        }
        if !bytes.is_empty() {
            self.length = self.length.max(offset + bytes.len() as u64);
        }
    }

    pub(super) fn set_len(&mut self, length: u64) {
        if length < self.length {
            let (page, start) = locate(length);
            // What is cut must read as zero if the file grows again.
            self.pages.split_off(&if start == 0 { page } else { page + 1 });
            if let Some(bytes) = self.pages.get_mut(&page) {
                bytes[start..].fill(0);
            }
        }
        self.length = length;
    }
}

/// Part of a range of bytes, within one page.
pub(super) struct Piece {
    pub(super) page: u64,
    /// Where it starts in the page.
    pub(super) start: usize,
    /// Which bytes of the range it is.
    pub(super) range: std::ops::Range<usize>,
}

/// A range of bytes, page by page.
pub(super) fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let (page, start) = locate(offset + done as u64);
        let range = done..length.min(done + PAGE_BYTES - start);
        done = range.end;
        Some(Piece { page, start, range })
    })
}

/// The page of an offset and the place in it.
fn locate(offset: u64) -> (u64, usize) {
    let page_bytes = PAGE_BYTES as u64;
    (offset / page_bytes, usize::try_from(offset % page_bytes).expect("below the bytes of a page"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::dice::Dice;

    /// Against a plain vector.
    #[test]
    fn like_a_vector() {
        let mut dice = Dice::new(1, "content");
        let mut below = |bound: u64| usize::try_from(dice.below(bound)).unwrap();
        for _ in 0..50 {
            let (mut content, mut expected) = (Content::default(), Vec::new());
            for step in 0..50 {
                let offset = below(20_000);
                match below(4) {
                    0 => {
                        content.set_len(offset as u64);
                        expected.resize(offset, 0);
                    }
                    _ => {
                        let bytes = vec![step; below(9000)];
                        content.write(&bytes, offset as u64);
                        if !bytes.is_empty() && expected.len() < offset + bytes.len() {
                            expected.resize(offset + bytes.len(), 0);
                        }
                        if !bytes.is_empty() {
                            expected[offset..offset + bytes.len()].copy_from_slice(&bytes);
                        }
                    }
                }
                assert_eq!(content.len(), expected.len() as u64);
                let mut read = vec![9; 40_000];
                let count = content.read(&mut read, 0);
                assert!(read[..count] == expected);
                let start = below(20_000).min(expected.len());
                let count = content.read(&mut read[..100], start as u64);
                assert!(read[..count] == expected[start..(start + 100).min(expected.len())]);
            }
        }
    }

    #[test]
    fn holes_cost_nothing() {
        let mut content = Content::default();
        content.set_len(1 << 40);
        content.write(b"x", 1 << 39);
        assert_eq!(content.page_count(), 1);
        assert_eq!(content.read(&mut [0; 10], (1 << 40) - 3), 3);
        content.set_len(0);
        assert_eq!(content.page_count(), 0);
    }
}
