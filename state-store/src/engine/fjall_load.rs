//! How a store of fjall is filled at once: by tables of its own, which fjall takes in one step.
//!
//! That step is in no journal, and tables that are newer than the journals' end are damage (`fjall_files`). So what a crash
//! leaves of it has to be known: the keyspace is noted before, and let go when the head, or the checkpoint, behind the rows
//! is durable. One that is noted at the next start did not come so far, and goes: it had no rows before.
//!
//! ```text
//!   <directory>/filling      number of the keyspace, u64 | its xxh3, u64; or nothing
//! ```

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anabranch_host::{Disk, File, OpenOptions};
use fjall::{Keyspace, Slice};
use xxhash_rust::xxh3::xxh3_64;

use super::fjall::{FjallEngine, FjallStore};
use super::fjall_rows::BulkRows;
use super::loading::write_chunk;
use super::runs::MergedRows;
use super::{Engine, EngineStore, engine_error};
use crate::error::Result;
use crate::row::Checkpoint;

const FILLING: &str = "filling";
/// Fewer bytes are written in chunks: a table costs several syncs.
const TABLE_BYTES: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };
/// Rows between two looks whether the load is to stop.
const ROWS_PER_LOOK: u32 = 1024;
/// How long a load waits for its turn before it looks whether it is to stop.
const TURN: Duration = Duration::from_millis(20);

/// Whether rows are too few for a table.
pub(super) fn are_few(rows: &MergedRows) -> bool {
    rows.bytes() < TABLE_BYTES
}

/// The note which keyspace is being filled.
#[derive(Debug)]
pub(super) struct Filling {
    file: File,
    /// What a crash has left half filled.
    left: Option<u64>,
}

impl Filling {
    pub(super) fn open(disk: &Disk, engine: &Path) -> io::Result<Filling> {
        let path = engine.join(FILLING);
        let file = disk.open(&path, OpenOptions::create())?;
        let noted = disk.read(&path)?;
        let number = noted.first_chunk().filter(|number| noted == note(u64::from_be_bytes(**number)));
        Ok(Filling { file, left: number.map(|number| u64::from_be_bytes(*number)) })
    }

    fn begin(&self, keyspace: &Keyspace) -> io::Result<()> {
        let number = number(keyspace).ok_or(io::ErrorKind::InvalidData)?;
        self.file.write_all_at(&note(number), 0)?;
        self.file.sync_now()
    }

    fn end(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.sync_now()
    }
}

/// What is noted of a keyspace.
fn note(number: u64) -> Vec<u8> {
    let number = number.to_be_bytes();
    [number, xxh3_64(&number).to_be_bytes()].concat()
}

/// A keyspace's number is the name of its folder.
fn number(keyspace: &Keyspace) -> Option<u64> {
    keyspace.path().file_name()?.to_str()?.parse().ok()
}

impl FjallEngine {
    /// Drops the store that a crash has left half filled, if there is one.
    pub(super) fn drop_half_filled(&self) -> Result<()> {
        let mut filling = self.open.filling.lock();
        let Some(left) = filling.left.take() else { return Ok(()) };
        for name in self.store_names()? {
            if number(&self.open_fjall_store(&name)?.keyspace) == Some(left) {
                self.drop_store(&name)?;
            }
        }
        filling.end().map_err(|error| engine_error(super::fjall::NAME, "to drop a store")(error.into()))
    }

    /// Fills new stores, one after the other, unless it is told to stop.
    pub(super) fn fill_stores(&self, stores: Vec<(String, MergedRows)>, stop: &AtomicBool) -> Result<()> {
        for (name, rows) in stores {
            self.open_fjall_store(&name)?.fill_in_turn(rows, None, stop)?;
        }
        Ok(())
    }
}

impl FjallStore {
    /// Writes rows into the store, which has none, and then the checkpoint, unless it is told to stop. Loads go one after the
    /// other: each reads all of its runs at once.
    pub(super) fn fill_in_turn(
        &mut self,
        mut rows: MergedRows,
        checkpoint: Option<Checkpoint>,
        stop: &AtomicBool,
    ) -> Result<()> {
        if are_few(&rows) {
            while write_chunk(self, &mut rows, checkpoint)? {}
            return Ok(());
        }
        let engine = self.engine.clone();
        while !stop.load(Ordering::Relaxed) {
            if let Some(filling) = engine.open.filling.try_lock_for(TURN) {
                return self.fill(rows, checkpoint, &filling, stop);
            }
        }
        Ok(())
    }

    fn fill(
        &mut self,
        mut rows: MergedRows,
        checkpoint: Option<Checkpoint>,
        filling: &Filling,
        stop: &AtomicBool,
    ) -> Result<()> {
        let has_head = self.written.lock().head.is_some();
        if !has_head {
            // Rows without a head would be taken for damage.
            self.write(&mut std::iter::empty(), None)?;
        }
        let keyspace = self.keyspace.clone();
        let mut ingestion = keyspace.start_ingestion().map_err(self.error("to begin a bulk load"))?;
        let mut write =
            |key: Slice, row: Slice| ingestion.write(key, row).map_err(self.error("to write a bulk load"));
        let mut bulk = BulkRows::default();
        let mut count = 0_u32;
        while let Some((key, row)) = rows.next()? {
            bulk.put(key, row, &mut write)?;
            count = count.wrapping_add(1);
            if count.is_multiple_of(ROWS_PER_LOOK) && stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        bulk.end_bucket(&mut write)?;
        let noted = |error: io::Error| {
            engine_error(super::fjall::NAME, "to note that a store is being filled")(error.into())
        };
        filling.begin(&keyspace).map_err(noted)?;
        // What is in memory goes to a table first, and the journal has to reach as far.
        self.engine.sync_journal()?;
        ingestion.finish().map_err(self.error("to finish a bulk load"))?;
        self.write(&mut std::iter::empty(), checkpoint)?;
        self.engine.sync_journal()?;
        filling.end().map_err(noted)
    }
}

#[cfg(test)]
mod tests {
    use anabranch_host::Host;

    use super::super::fjall_files;
    use super::super::load_tests::finish;
    use super::super::runs::Runs;
    use super::super::tests::{open_fjall, write};
    use super::*;
    use crate::error::ErrorKind;
    use crate::row::Row;

    /// The tables are there and the journal does not say so: if nobody knew why, that would be damage.
    #[test]
    fn a_store_that_was_half_filled_is_a_new_one() {
        let (host, _runtime) = Host::real(1).expect("threads");
        let (disk, directory) = (host.disk(), tempfile::tempdir().expect("a directory"));
        let checkpoint = Checkpoint { offset: 5, wall_clock_ms: 1 };
        let load = |engine: &dyn Engine| {
            let mut store = engine.open_store("filled").expect("sound");
            assert_eq!(store.checkpoint().expect("sound"), None);
            assert!(store.is_empty().expect("sound"));
            let mut runs = Runs::new("filled", "fjall");
            for number in 0..3000_u32 {
                let row = Row::new(&[7; 20], 3);
                runs.push(&number.to_be_bytes(), Some(row), || Ok(None)).expect("in memory");
            }
            let loading = store.load(runs.merge(), Some(checkpoint)).expect("sound");
            finish(loading, &mut *store).expect("sound");
            assert_eq!(store.checkpoint().expect("sound"), Some(checkpoint));
        };
        let number = {
            let engine = FjallEngine::open(&disk, directory.path(), super::super::FjallOptions::default())
                .expect("new");
            let rows = [(b"k".to_vec(), Some(b"v".to_vec()))];
            write(&mut *engine.open_store("other").expect("new"), &rows, Some(checkpoint)).expect("sound");
            load(&engine);
            number(&engine.open_fjall_store("filled").expect("sound").keyspace).expect("a number")
        };
        let (journal, note) = (directory.path().join("rows/0.jnl"), directory.path().join(FILLING));
        assert!(disk.read(&note).expect("there").is_empty(), "it is filled");
        let ends = fjall_files::batch_ends(&disk, &journal);
        let before = ends[ends.len() - 2];
        disk.open(&journal, OpenOptions::write()).and_then(|file| file.set_len(before)).expect("cut");
        let error = open_fjall(&host, directory.path()).map(|_| ()).expect_err("nobody knows why");
        assert_eq!(error.kind(), ErrorKind::CorruptEngine);

        let noted = disk.open(&note, OpenOptions::write()).expect("there");
        noted.write_all_at(&super::note(number), 0).expect("written");
        for _ in 0..2 {
            let engine = open_fjall(&host, directory.path()).expect("sound");
            assert_eq!(engine.store_names().expect("names"), ["other"]);
            let other = engine.open_store("other").expect("sound");
            assert_eq!(other.checkpoint().expect("sound"), Some(checkpoint));
        }
        load(&open_fjall(&host, directory.path()).expect("sound"));
        let engine = open_fjall(&host, directory.path()).expect("sound");
        let filled = engine.open_store("filled").expect("there");
        assert_eq!(filled.checkpoint().expect("sound"), Some(checkpoint));
    }
}
