//! The aborted transactions of a segment: `%020d.txnindex`, Kafka's format. Readers of committed records are told of them.
//!
//! ```text
//! version i16 = 0, producer id i64, first offset i64, last offset i64, last stable offset i64          34 bytes each
//! ```
//! A transaction stands in the index of the segment that holds its marker, so entries come in the order of their last
//! offsets. There is no file before the first entry. As any index it may be lost or torn: recovery makes those anew that
//! were not synced, together with the state of the producers, which alone knows where a transaction began.
//!
//! Kafka's format has no checksum, but a lost or changed entry would make aborted records committed ones. So a file of
//! our own stands beside it, `%020d.txnchecksum`: a CRC-32C of the index, as text. One without the other is damage.

use std::io;
use std::sync::OnceLock;

use anabranch_host::OpenOptions;
use bytes::{Buf, BufMut};

use super::LogError;
use super::checkpoint::read_text;
use super::index_file::IndexFile;
use crate::open_files::LazyFile;

const ENTRY_BYTES: usize = 34;
const VERSION: i16 = 0;

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// Of its first record.
    pub first_offset: i64,
    /// Of its marker.
    pub last_offset: i64,
    /// The last stable offset when the marker was appended: no transaction that ends later begins before it.
    pub last_stable_offset: i64,
}

impl AbortedTransaction {
    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut entry = [0; ENTRY_BYTES];
        let mut out = &mut entry[..];
        out.put_i16(VERSION);
        out.put_i64(self.producer_id);
        out.put_i64(self.first_offset);
        out.put_i64(self.last_offset);
        out.put_i64(self.last_stable_offset);
        entry
    }

    fn decode(entry: &[u8; ENTRY_BYTES]) -> Option<AbortedTransaction> {
        let mut entry = &entry[..];
        let version = entry.get_i16();
        let transaction = AbortedTransaction {
            producer_id: entry.get_i64(),
            first_offset: entry.get_i64(),
            last_offset: entry.get_i64(),
            last_stable_offset: entry.get_i64(),
        };
        (version == VERSION).then_some(transaction)
    }
}

fn new_checksum() -> crc_fast::Digest {
    crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi)
}

fn checksum_text(checksum: &crc_fast::Digest) -> String {
    format!("{:08x}\n", checksum.finalize() as u32)
}

fn damaged(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// The aborted transactions whose markers lie in one segment; read from their file at the first use.
#[derive(Debug)]
pub(super) struct AbortedTransactions {
    base_offset: i64,
    files: Files,
    index: OnceLock<TransactionIndex>,
}

/// The index and its checksum.
#[derive(Clone, Debug)]
struct Files {
    index: LazyFile,
    checksum: LazyFile,
}

impl AbortedTransactions {
    /// Those of the segment that begins at `base_offset`. A new segment has none, whatever files lie there.
    pub(super) fn new(
        base_offset: i64,
        index_file: LazyFile,
        checksum_file: LazyFile,
        may_have_some: bool,
    ) -> AbortedTransactions {
        let files = Files { index: index_file, checksum: checksum_file };
        let index = OnceLock::new();
        if !may_have_some {
            let _ = index.set(TransactionIndex::empty(files.clone()));
        }
        AbortedTransactions { base_offset, files, index }
    }

    /// The index, and the file of its checksum.
    pub(super) fn files(&self) -> [&LazyFile; 2] {
        [&self.files.index, &self.files.checksum]
    }

    fn index(&self) -> Result<&TransactionIndex, LogError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let loaded = TransactionIndex::load(self.base_offset, self.files.clone()).map_err(self.error())?;
        Ok(self.index.get_or_init(|| loaded))
    }

    fn error(&self) -> impl FnOnce(io::Error) -> LogError + use<> {
        LogError::io(&self.files.index.path())
    }

    /// Reads the index, to know whether it can be.
    pub(super) fn check(&self) -> Result<(), LogError> {
        self.index().map(drop)
    }

    /// Enters a transaction whose marker is the last batch.
    pub(super) fn note(&mut self, transaction: AbortedTransaction) -> Result<(), LogError> {
        self.index()?;
        let error = self.error();
        let index = self.index.get_mut().expect("it was loaded in the line before");
        index.push(transaction).map_err(error)
    }

    /// Writes the entries that are in memory.
    pub(super) fn flush(&mut self) -> Result<(), LogError> {
        let error = self.error();
        self.index.get_mut().map_or(Ok(()), TransactionIndex::flush).map_err(error)
    }

    /// Forgets all of them, so that they can be entered anew.
    pub(super) fn reset(&mut self) -> Result<(), LogError> {
        self.index = OnceLock::from(TransactionIndex::anew(self.files.clone()).map_err(self.error())?);
        Ok(())
    }

    /// Adds those to `found` that have records from `from` to before `to`. Returns whether those are all, also of the
    /// segments behind.
    pub(super) fn collect(
        &self,
        from: i64,
        to: i64,
        found: &mut Vec<AbortedTransaction>,
    ) -> Result<bool, LogError> {
        self.index()?.collect(from, to, found).map_err(self.error())
    }
}

/// The index in its file.
#[derive(Debug)]
struct TransactionIndex {
    entries: IndexFile<ENTRY_BYTES>,
    files: Files,
    /// Over all entries.
    checksum: crc_fast::Digest,
    /// Whether the file of the checksum is of all entries.
    is_written: bool,
}

impl TransactionIndex {
    /// An index without entries. What lies in its file, if there is one, goes with the first entry.
    fn empty(files: Files) -> TransactionIndex {
        let entries = IndexFile::empty(files.index.clone());
        TransactionIndex { entries, files, checksum: new_checksum(), is_written: true }
    }

    /// An index without entries. Its files, if there are any, stay as they are until it is written: were they removed,
    /// and the power went then, nobody would know that there had been one.
    fn anew(files: Files) -> io::Result<TransactionIndex> {
        let exists = |file: &LazyFile| file.disk().exists(&file.path());
        let is_written = !exists(&files.index)? && !exists(&files.checksum)?;
        Ok(TransactionIndex { is_written, ..TransactionIndex::empty(files) })
    }

    /// The index in the file of the segment that begins at `base_offset`; without a file it has no entries.
    fn load(base_offset: i64, files: Files) -> io::Result<TransactionIndex> {
        let Some(known) = read_text(files.checksum.disk(), &files.checksum.path())? else {
            return match files.index.disk().exists(&files.index.path())? {
                true => Err(damaged("there is no checksum of it")),
                false => Ok(TransactionIndex::empty(files)),
            };
        };
        let (entries, found) = IndexFile::load(files.index.clone())?;
        let mut checksum = new_checksum();
        checksum.update(found.as_flattened());
        if known != checksum_text(&checksum) {
            return Err(damaged("its checksum does not match"));
        }
        let mut last_offset = base_offset - 1;
        for entry in &found {
            let entry = AbortedTransaction::decode(entry).ok_or_else(|| damaged("an unknown version"))?;
            let is_plausible =
                entry.producer_id >= 0 && entry.first_offset >= 0 && entry.first_offset < entry.last_offset;
            if entry.last_offset <= last_offset || !is_plausible {
                return Err(damaged("its transactions do not follow one another"));
            }
            last_offset = entry.last_offset;
        }
        Ok(TransactionIndex { entries, files, checksum, is_written: true })
    }

    /// Enters a transaction; those before it ended before it.
    fn push(&mut self, transaction: AbortedTransaction) -> io::Result<()> {
        let entry = transaction.encode();
        self.checksum.update(&entry);
        self.is_written = false;
        self.entries.push(entry)
    }

    /// Writes the entries that are in memory, and the checksum.
    fn flush(&mut self) -> io::Result<()> {
        if self.is_written {
            return Ok(());
        }
        self.entries.flush()?;
        let file = &self.files.checksum;
        let file = file.disk().open(&file.path(), OpenOptions::create_empty())?;
        file.write_all_at(checksum_text(&self.checksum).as_bytes(), 0)?;
        self.is_written = true;
        Ok(())
    }

    /// Adds the transactions to `found` that have records from `from` to before `to`. Returns whether those are all, also
    /// of the segments behind.
    fn collect(&self, from: i64, to: i64, found: &mut Vec<AbortedTransaction>) -> io::Result<bool> {
        let ends_before = |entry: &[u8; ENTRY_BYTES]| {
            AbortedTransaction::decode(entry).is_some_and(|it| it.last_offset < from)
        };
        for position in self.entries.partition_point(ends_before)?..self.entries.len() {
            let entry = AbortedTransaction::decode(&self.entries.entry(position)?)
                .ok_or_else(|| damaged("an unknown version"))?;
            if entry.first_offset < to {
                found.push(entry);
            }
            if entry.last_stable_offset >= to {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use anabranch_host::Host;

    use super::*;
    use crate::open_files::OpenFiles;

    fn aborted(producer_id: i64, offsets: [i64; 3]) -> AbortedTransaction {
        let [first_offset, last_offset, last_stable_offset] = offsets;
        AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset }
    }

    #[test]
    fn transactions_are_found_by_the_records_they_have() {
        let directory = tempfile::tempdir().unwrap();
        let (host, _runtime) = Host::real(1).unwrap();
        let open_files = OpenFiles::new(host.disk(), 10);
        let of =
            |suffix: &str| open_files.file(directory.path().join(format!("00000000000000000010.{suffix}")));
        let files = Files { index: of("txnindex"), checksum: of("txnchecksum") };
        let (file, checksum) = (&files.index, &files.checksum);
        let load = |base_offset| TransactionIndex::load(base_offset, files.clone());
        let mut index = load(10).unwrap();
        index.flush().unwrap();
        for file in [file, checksum] {
            assert!(!host.disk().exists(&file.path()).unwrap(), "nothing aborted, no file");
        }
        // 5-20, 12-25 and 30-31; another transaction is open from 15 on, and one from 33 on.
        let all = [aborted(1, [5, 20, 12]), aborted(2, [12, 25, 15]), aborted(3, [30, 31, 15])];
        all.iter().for_each(|transaction| index.push(*transaction).unwrap());
        let check = |index: &TransactionIndex, from, to, expected: &[i64], is_complete| {
            let mut found = Vec::new();
            assert_eq!(index.collect(from, to, &mut found).unwrap(), is_complete, "{from} {to}");
            let producers: Vec<i64> = found.iter().map(|transaction| transaction.producer_id).collect();
            assert_eq!(producers, expected, "{from} {to}");
        };
        for is_loaded in [false, true] {
            check(&index, 0, 6, &[1], true);
            check(&index, 0, 13, &[1, 2], true);
            check(&index, 0, 16, &[1, 2], false);
            check(&index, 21, 40, &[2, 3], false);
            check(&index, 31, 32, &[3], false);
            check(&index, 32, 40, &[], false);
            if !is_loaded {
                index.flush().unwrap();
                index = load(10).unwrap();
            }
        }
        let bytes = host.disk().read(&file.path()).unwrap();
        assert_eq!(bytes.len(), 3 * ENTRY_BYTES);
        assert_eq!(bytes[..11], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        // The segment begins behind a marker.
        assert!(load(21).is_err());
        let write = |file: &LazyFile, bytes: &[u8]| {
            let file = host.disk().open(&file.path(), OpenOptions::create_empty()).unwrap();
            file.write_all_at(bytes, 0).unwrap();
        };
        // Any flipped bit, a file that is shorter, one without the other.
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1 << (position % 8);
            write(file, &flipped);
            assert!(load(10).is_err(), "{position}");
            write(file, &bytes[..position]);
            assert!(load(10).is_err(), "cut to {position}");
        }
        host.disk().remove_file(&file.path()).unwrap();
        assert!(load(10).is_err());
        write(file, &bytes);
        let text = host.disk().read(&checksum.path()).unwrap();
        for position in 0..text.len() {
            let mut flipped = text.clone();
            flipped[position] ^= 1;
            write(checksum, &flipped);
            assert!(load(10).is_err(), "{position}");
        }
        host.disk().remove_file(&checksum.path()).unwrap();
        assert!(load(10).is_err());
        let mut anew = TransactionIndex::anew(files.clone()).unwrap();
        assert!(load(10).is_err(), "it is damaged until it is written");
        anew.flush().unwrap();
        assert_eq!(load(10).unwrap().entries.len(), 0);
    }
}
