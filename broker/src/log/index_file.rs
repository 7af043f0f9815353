//! A sorted file of entries of fixed size, the common base of the offset and the time index.
//!
//! Kafka maps these files into memory; here the newest entries are kept in memory until a few hundred bytes have
//! gathered, and older ones are read where they lie. A broker with many idle partitions thus holds no maps and no
//! preallocated megabytes, and the bytes on disk are the same. An index may be lost or torn at any time: it is rebuilt
//! from the segment.

use std::io;

use anabranch_host::OpenOptions;

use crate::open_files::LazyFile;

/// Entries that gather in memory before they are written.
const MAX_TAIL_ENTRIES: usize = 64;

/// Entries of `N` bytes each.
#[derive(Debug)]
pub(super) struct IndexFile<const N: usize> {
    file: LazyFile,
    /// Entries that have been written.
    stored: usize,
    /// Entries after those.
    tail: Vec<[u8; N]>,
    /// Whether a file of this name may hold entries of an index that is no more.
    is_stale: bool,
}

impl<const N: usize> IndexFile<N> {
    /// An index without entries; its file, if it has one, is emptied when the first are written.
    pub(super) fn empty(file: LazyFile) -> Self {
        IndexFile { file, stored: 0, tail: Vec::new(), is_stale: true }
    }

    /// All entries of the file, for a look at them, and the index.
    pub(super) fn load(file: LazyFile) -> io::Result<(Self, Vec<[u8; N]>)> {
        let bytes = file.disk().read(&file.path())?;
        let (entries, rest) = bytes.as_chunks::<N>();
        if !rest.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an index ends within an entry"));
        }
        let entries = entries.to_vec();
        Ok((IndexFile { file, stored: entries.len(), tail: Vec::new(), is_stale: false }, entries))
    }

    pub(super) fn len(&self) -> usize {
        self.stored + self.tail.len()
    }

    pub(super) fn entry(&self, position: usize) -> io::Result<[u8; N]> {
        if let Some(in_tail) = position.checked_sub(self.stored) {
            return self.tail.get(in_tail).copied().ok_or_else(|| io::ErrorKind::InvalidInput.into());
        }
        let mut entry = [0; N];
        self.file.get()?.read_exact_at(&mut entry, (position * N) as u64)?;
        Ok(entry)
    }

    pub(super) fn last(&self) -> io::Result<Option<[u8; N]>> {
        self.len().checked_sub(1).map(|position| self.entry(position)).transpose()
    }

    /// How many entries come before the first for which `is_before` is false. The entries are sorted that way.
    pub(super) fn partition_point(&self, is_before: impl Fn(&[u8; N]) -> bool) -> io::Result<usize> {
        if self.stored == 0 || self.tail.first().is_some_and(&is_before) {
            return Ok(self.stored + self.tail.partition_point(is_before));
        }
        let (mut low, mut high) = (0, self.stored);
        while low < high {
            let middle = low.midpoint(high);
            if is_before(&self.entry(middle)?) { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    pub(super) fn push(&mut self, entry: [u8; N]) -> io::Result<()> {
        self.tail.push(entry);
        if self.tail.len() >= MAX_TAIL_ENTRIES { self.flush() } else { Ok(()) }
    }

    /// Writes what is in memory. The file is not kept open for it: this comes rarely.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let is_stale = self.is_stale;
        if self.tail.is_empty() && !is_stale {
            return Ok(());
        }
        let file = self.file.disk().open(&self.file.path(), OpenOptions::create())?;
        if is_stale {
            file.set_len(0)?;
            self.is_stale = false;
        }
        file.write_all_at(self.tail.as_flattened(), (self.stored * N) as u64)?;
        self.stored += self.tail.len();
        self.tail.clear();
        Ok(())
    }

    /// Drops the entries from `length` on.
    pub(super) fn truncate(&mut self, length: usize) -> io::Result<()> {
        self.tail.truncate(length.saturating_sub(self.stored));
        if length < self.stored {
            self.file.get()?.set_len((length * N) as u64)?;
            self.stored = length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anabranch_host::Host;

    use super::*;
    use crate::open_files::OpenFiles;

    #[test]
    fn entries_are_found_wherever_they_lie() {
        let directory = tempfile::tempdir().unwrap();
        let (host, _runtime) = Host::real(1).unwrap();
        let open_files = OpenFiles::new(host.disk(), 10);
        let file = open_files.file(directory.path().join("index"));
        let mut index = IndexFile::<4>::empty(file.clone());
        let before = |bound: u32| move |entry: &[u8; 4]| u32::from_be_bytes(*entry) < bound;
        for n in 0..200u32 {
            assert_eq!(index.last().unwrap(), n.checked_sub(1).map(|last| (2 * last).to_be_bytes()));
            index.push((2 * n).to_be_bytes()).unwrap();
            for bound in [0, n, 2 * n, 2 * n + 1] {
                assert_eq!(index.partition_point(before(bound)).unwrap(), bound.div_ceil(2) as usize);
            }
        }
        assert_eq!(file.get().unwrap().len().unwrap(), 192 * 4, "the last eight are in memory");
        index.truncate(196).unwrap();
        assert_eq!(index.last().unwrap(), Some(390u32.to_be_bytes()));
        index.truncate(100).unwrap();
        assert_eq!((index.len(), index.last().unwrap()), (100, Some(198u32.to_be_bytes())));
        index.push(1000u32.to_be_bytes()).unwrap();
        index.flush().unwrap();
        let (index, entries) = IndexFile::<4>::load(file.clone()).unwrap();
        assert_eq!((index.len(), entries.len()), (101, 101));
        assert_eq!(entries[100], 1000u32.to_be_bytes());
        file.get().unwrap().set_len(401).unwrap();
        assert!(IndexFile::<4>::load(file.clone()).is_err());
        // An index made anew does not inherit what lies in an old file.
        let mut index = IndexFile::<4>::empty(file.clone());
        index.push([7; 4]).unwrap();
        index.flush().unwrap();
        assert_eq!(file.get().unwrap().len().unwrap(), 4);
    }
}
