//! fjall's files damaged in every way: what is damaged is told.

use std::path::PathBuf;

use anabranch_host::{Host, OpenOptions};

use super::fjall::{FjallEngine, FjallOptions};
use super::runs::Runs;
use super::tests::{copy, open_fjall, write};
use super::*;
use crate::error::ErrorKind;
use crate::random::Random;

/// Flips bits in every file of a database, cuts it, removes it: what opens all the same is as some chunk left it.
#[test]
fn no_damage_is_taken_for_truth() {
    damage_everything(1 << 16, &[]);
}

/// The same with rows that lie in journals alone, two of them sealed.
#[test]
fn no_damage_of_sealed_journals_is_taken_for_truth() {
    damage_everything(1 << 24, &[20, 40]);
}

/// `sealed` says after how many chunks a journal was sealed and the next one begun.
fn damage_everything(memtable_bytes: u64, sealed: &[usize]) {
    let (host, _runtime) = Host::real(1).expect("threads");
    let disk = host.disk();
    let (written, damaged) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
    {
        let options = FjallOptions { cache_bytes: 1 << 20, memtable_bytes };
        let engine = FjallEngine::open(&disk, written.path(), options).expect("new");
        let mut store = engine.open_store("s").expect("sound");
        for offset in 0..60_u8 {
            let rows = [(b"newest".to_vec(), Some(vec![offset; 3000])), (vec![offset], Some(vec![1]))];
            let checkpoint = Checkpoint { offset: offset.into(), wall_clock_ms: 0 };
            write(&mut *store, &rows, Some(checkpoint)).expect("sound");
        }
        engine.sync().expect("sound");
        drop(store);
        drop(engine);
    }
    let mut files = Vec::new();
    let mut folders = vec![written.path().join("rows")];
    while let Some(folder) = folders.pop() {
        for entry in disk.read_dir(&folder).expect("there") {
            let path = folder.join(entry.name);
            if entry.is_dir {
                folders.push(path);
                continue;
            }
            let mut bytes = disk.read(&path).expect("there");
            // A journal is longer than what is written to it.
            let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes.truncate(length + 64);
            files.push((
                damaged.path().join(path.strip_prefix(written.path()).expect("below it")),
                bytes,
                length,
            ));
        }
    }
    if !sealed.is_empty() {
        let whole = files.iter().position(|(path, ..)| path.ends_with("0.jnl")).expect("a journal");
        let (path, bytes, length) = files.swap_remove(whole);
        let ends = fjall_files::batch_ends(&disk, &written.path().join("rows/0.jnl"));
        let cuts: Vec<usize> = sealed.iter().map(|chunks| ends[chunks - 1] as usize).collect();
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        for (id, (start, end)) in starts.zip(cuts.iter().copied().chain([length])).enumerate() {
            let part = bytes[start..end].to_vec();
            files.push((path.with_file_name(format!("{id}.jnl")), part, end - start));
        }
    }
    let look = |what: &str| {
        let read = || -> Result<()> {
            let store = open_fjall(&host, damaged.path())?.open_store("s")?;
            let chunks = store.checkpoint()?.map_or(0, |checkpoint| checkpoint.offset + 1);
            let mut scan = store.snapshot()?.scan(&KeyRange::all(), Order::Forward)?;
            let (mut key, mut row, mut rows) = (Vec::new(), RowBuffer::default(), 0);
            while scan.next(&mut key, &mut row)? {
                rows += 1;
                let expected = if key == b"newest" { chunks - 1 } else { 1 };
                assert!(row.value.iter().all(|byte| i64::from(*byte) == expected), "{what}: {key:?}");
            }
            assert_eq!(rows, if chunks == 0 { 0 } else { chunks + 1 }, "{what}: {chunks} chunks");
            Ok(())
        };
        if let Err(error) = read() {
            let kind = error.kind();
            let is_told =
                matches!(kind, ErrorKind::CorruptStore | ErrorKind::CorruptEngine | ErrorKind::OtherVersion);
            assert!(is_told, "{what}: {error}");
        }
    };
    let random = &mut Random(7);
    for (damaged_file, bytes, length) in &files {
        for attempt in 0..12 {
            let mut after = bytes.clone();
            let at = random.below((*length).max(1));
            match attempt {
                0 => {}
                1 => after.truncate(at),
                _ if *length > 0 => after[at] ^= 1 << random.below(8),
                _ => continue,
            }
            let _ = disk.remove_dir_all(&damaged.path().join("rows"));
            for (file, bytes, _) in &files {
                disk.create_dir_all(file.parent().expect("a folder")).expect("made");
                let bytes = if file == damaged_file { &after } else { bytes };
                let made = disk.open(file, OpenOptions::create_empty());
                made.and_then(|file| file.write_all_at(bytes, 0)).expect("written");
            }
            if attempt == 0 {
                disk.remove_file(damaged_file).expect("there");
            }
            look(&format!("{}, attempt {attempt}, at {at}", damaged_file.display()));
        }
    }
}

/// A database with tables, and one chunk more that no table has: the folder of its keyspace, its journal, how many chunks.
fn with_tables(host: &Host, directory: &Path) -> (PathBuf, PathBuf, usize) {
    let folder = directory.join("rows/keyspaces/1");
    let has_tables = || !host.disk().read_dir(&folder.join("tables")).expect("there").is_empty();
    let chunk = |store: &mut dyn EngineStore, number: usize| {
        let rows = [(number.to_be_bytes().to_vec(), Some(vec![1; 8000]))];
        let checkpoint = Checkpoint { offset: number as i64, wall_clock_ms: 0 };
        write(store, &rows, Some(checkpoint)).expect("sound");
    };
    let mut chunks = 0;
    {
        let engine = open_fjall(host, directory).expect("new");
        let mut store = engine.open_store("s").expect("sound");
        while !has_tables() {
            assert!(chunks < 10_000, "nothing is written to a table");
            chunk(&mut *store, chunks);
            chunks += 1;
        }
    }
    let options = FjallOptions { cache_bytes: 1 << 20, memtable_bytes: 1 << 30 };
    let engine = FjallEngine::open(&host.disk(), directory, options).expect("sound");
    chunk(&mut *engine.open_store("s").expect("sound"), chunks);
    (folder, directory.join("rows/0.jnl"), chunks + 1)
}

/// What is in tables must not vanish with the file that names them: the journal has only what came after.
#[test]
fn a_keyspace_that_lost_its_version_is_damaged() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let directory = tempfile::tempdir().expect("a directory");
    let (folder, ..) = with_tables(&host, directory.path());
    host.disk().remove_file(&folder.join("current")).expect("there");
    let error = open_fjall(&host, directory.path()).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::CorruptEngine, "{error}");
}

/// Another store may have nothing but the journal, and what is gone of it have come before what the tables have.
#[test]
fn tables_that_are_newer_than_the_journal_are_damage() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let disk = host.disk();
    let open_cut = |after: fn(usize) -> usize| {
        let directory = tempfile::tempdir().expect("a directory");
        let (_, journal, chunks) = with_tables(&host, directory.path());
        // In the middle of a batch.
        let ends = fjall_files::batch_ends(&disk, &journal);
        let cut = after(chunks).checked_sub(1).map_or(0, |last| ends[last] + 100);
        disk.open(&journal, OpenOptions::write()).and_then(|file| file.set_len(cut)).expect("cut");
        let opened =
            open_fjall(&host, directory.path()).and_then(|engine| engine.open_store("s")?.checkpoint());
        (opened, chunks)
    };
    let (torn, chunks) = open_cut(|chunks| chunks - 1);
    assert_eq!(torn.expect("a crash").map(|checkpoint| checkpoint.offset), Some(chunks as i64 - 2));
    // A table has at least all that fills the memory, which is more than one chunk.
    for after in [|_| 0, |_| 1] {
        let error = open_cut(after).0.expect_err("it is damaged");
        assert_eq!(error.kind(), ErrorKind::CorruptEngine, "{error}");
    }
}

/// A keyspace without its version may be one that a crash has left while it was made or removed.
#[test]
fn what_a_crash_leaves_of_a_keyspace_is_no_damage() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let (disk, directory) = (host.disk(), tempfile::tempdir().expect("a directory"));
    let (folder, ..) = with_tables(&host, directory.path());
    let made = folder.with_file_name("17");
    disk.create_dir_all(&made.join("tables")).expect("made");
    let engine = open_fjall(&host, directory.path()).expect("sound");
    assert!(!disk.exists(&made).expect("known"));
    // It is dropped for good when nobody has it open any more.
    let open = engine.open_store("s").expect("sound");
    engine.drop_store("s").expect("dropped");
    disk.remove_file(&folder.join("current")).expect("there");
    drop(open);
    drop(engine);
    // fjall may be through with it by now: a crash would have left something.
    disk.create_dir_all(&folder.join("tables")).expect("made");
    disk.open(&folder.join("tables/1"), OpenOptions::create()).expect("made");
    let engine = open_fjall(&host, directory.path()).expect("sound");
    assert_eq!(engine.store_names().expect("names"), Vec::<String>::new());
    assert!(!disk.exists(&folder).expect("known"));
}

/// A keyspace that is gone as a whole takes its checkpoint with it: the store has nothing, and is restored from the start of
/// its changelog. If the journal has rows of it they would come back, so that is damage, as if it is gone in part.
#[test]
fn a_store_whose_keyspace_is_gone_is_a_new_one_or_damaged() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let disk = host.disk();
    for (part, in_journal) in [("", false), ("", true), ("tables", false), ("current", false)] {
        let directory = tempfile::tempdir().expect("a directory");
        let (folder, journal, _) = with_tables(&host, directory.path());
        if !in_journal {
            // As if another one had been begun since.
            let sealed = disk.open(&journal, OpenOptions::write()).expect("there");
            sealed.set_len(0).and_then(|()| sealed.set_len(64 << 20)).expect("emptied");
        }
        match part {
            "current" => disk.remove_file(&folder.join(part)).expect("there"),
            _ => disk.remove_dir_all(&folder.join(part)).expect("there"),
        }
        let look = || -> Result<()> {
            let engine = open_fjall(&host, directory.path())?;
            let mut store = engine.open_store("s")?;
            assert_eq!(store.checkpoint()?, None, "`{part}` is gone");
            assert!(store.is_empty()?, "`{part}` is gone");
            // And it is one that lasts.
            let checkpoint = Checkpoint { offset: 3, wall_clock_ms: 0 };
            write(&mut *store, &[(b"k".to_vec(), Some(b"v".to_vec()))], Some(checkpoint))?;
            drop((store, engine));
            let store = open_fjall(&host, directory.path())?.open_store("s")?;
            assert_eq!(store.checkpoint()?, Some(checkpoint));
            assert!(store.get(b"k", &mut RowBuffer::default())?);
            Ok(())
        };
        match (part, look()) {
            ("", found) if !in_journal => found.expect("nothing is damaged"),
            (_, found) => assert_eq!(found.expect_err(part).kind(), ErrorKind::CorruptEngine),
        }
    }
}

/// Rows that lie in the journal alone would come back when a store of the same name is made anew.
#[test]
fn a_keyspace_that_was_written_to_and_has_no_version_is_damaged() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let (disk, directory) = (host.disk(), tempfile::tempdir().expect("a directory"));
    {
        let engine = open_fjall(&host, directory.path()).expect("new");
        let mut store = engine.open_store("s").expect("sound");
        write(&mut *store, &[(b"k".to_vec(), Some(b"v".to_vec()))], None).expect("sound");
    }
    disk.remove_file(&directory.path().join("rows/keyspaces/1/current")).expect("there");
    let error = open_fjall(&host, directory.path()).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::CorruptEngine, "{error}");
}

/// Of a store's heads a table has the newest alone. What has gone from the journals is in tables all the same.
#[test]
fn a_journal_may_begin_in_the_middle_of_a_table() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let (disk, directory) = (host.disk(), tempfile::tempdir().expect("a directory"));
    {
        let engine = open_fjall(&host, directory.path()).expect("new");
        let mut store = engine.open_fjall_store("s").expect("sound");
        for number in 1..=22_u8 {
            let checkpoint = Checkpoint { offset: number.into(), wall_clock_ms: 0 };
            write(&mut store, &[(vec![number], Some(vec![1; 10]))], Some(checkpoint)).expect("sound");
            if number.is_multiple_of(10) {
                store.keyspace.rotate_memtable_and_wait().expect("a table");
            }
        }
    }
    let journal = directory.path().join("rows/0.jnl");
    let (bytes, ends) = (disk.read(&journal).expect("there"), fjall_files::batch_ends(&disk, &journal));
    for (chunks, is_sound) in [(10, true), (15, true), (20, true), (21, false)] {
        disk.remove_file(&journal).expect("there");
        let rest = disk.open(&journal, OpenOptions::create_empty()).expect("made");
        rest.write_all_at(&bytes[ends[chunks - 1] as usize..], 0).expect("written");
        match open_fjall(&host, directory.path()) {
            Ok(engine) => {
                assert!(is_sound, "{chunks} chunks are not there");
                let store = engine.open_store("s").expect("sound");
                assert_eq!(store.checkpoint().expect("sound").map(|checkpoint| checkpoint.offset), Some(22));
                let found = (1..=22)
                    .filter(|number| store.get(&[*number], &mut RowBuffer::default()).expect("sound"));
                assert_eq!(found.count(), 22);
            }
            Err(error) => assert!(!is_sound && error.kind() == ErrorKind::CorruptEngine, "{chunks}: {error}"),
        }
    }
}

/// What fjall has moved from its journal into tables.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    All,
    /// As much as it has found time for.
    Some,
}

/// Makes a database of 4,000 rows, does `damage` to one of its files, or to all of a directory, and reads it: the number of
/// rows, or what is wrong.
fn damaged(
    host: &Host,
    file: &str,
    moved: Moved,
    damage: impl Fn(&mut Vec<u8>),
) -> std::result::Result<usize, ErrorKind> {
    let (directory, crashed) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
    let rows: Vec<_> = (0..4000_u32).map(|at| (at.to_be_bytes().to_vec(), Some(vec![7; 100]))).collect();
    {
        let engine = open_fjall(host, directory.path()).expect("new");
        let mut store = engine.open_fjall_store("s").expect("sound");
        let mut runs = Runs::new("s", "fjall");
        for (key, value) in &rows[..3000] {
            let row = value.as_deref().map(|value| Row::new(value, 3));
            runs.push(key, row, || Ok(None)).expect("in memory");
        }
        let loading = store.load(runs.merge(), None).expect("sound");
        load_tests::finish(loading, &mut store).expect("sound");
        for rows in rows[3000..].chunks(100) {
            write(&mut store, rows, Some(Checkpoint { offset: 1, wall_clock_ms: 1 })).expect("sound");
        }
        if moved == Moved::All {
            store.keyspace.rotate_memtable_and_wait().expect("sound");
        }
        engine.sync().expect("sound");
        // As a crash leaves it: a clean end might move rows from the journal into tables.
        copy(&host.disk(), directory.path(), crashed.path());
    }
    let disk = host.disk();
    let path = crashed.path().join("rows").join(file);
    // All tables: fjall may have merged them meanwhile, and not yet removed what it no longer reads.
    let damaged: Vec<_> = match file.ends_with("tables") {
        true => disk.read_dir(&path).expect("there").iter().map(|entry| path.join(&entry.name)).collect(),
        false => vec![path],
    };
    for path in damaged {
        let mut bytes = disk.read(&path).expect("there");
        damage(&mut bytes);
        let file = disk.open(&path, OpenOptions::create_empty()).expect("there");
        file.write_all_at(&bytes, 0).expect("written");
    }
    let read = || -> Result<usize> {
        let store = open_fjall(host, crashed.path())?.open_store("s")?;
        let mut scan = store.snapshot()?.scan(&KeyRange::all(), Order::Forward)?;
        let (mut key, mut row, mut count) = (Vec::new(), RowBuffer::default(), 0);
        while scan.next(&mut key, &mut row)? {
            assert_eq!(row.value, [7; 100]);
            count += 1;
        }
        Ok(count)
    };
    read().map_err(|error| error.kind())
}

#[test]
fn damage_and_other_versions_are_told_apart() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let check = |file, damage: &dyn Fn(&mut Vec<u8>), expected| {
        assert_eq!(damaged(&host, file, Moved::Some, damage), expected, "{file}");
    };
    let last_row = |bytes: &[u8]| {
        let key = 3999_u32.to_be_bytes();
        bytes.windows(key.len()).rposition(|window| window == key).expect("written")
    };
    check("version", &|_| (), Ok(4000));
    check("version", &|bytes| bytes[3] = 2, Err(ErrorKind::OtherVersion));
    check("version", &|bytes| bytes[0] = b'!', Err(ErrorKind::CorruptEngine));
    check("keyspaces/1/tables", &|bytes| bytes[40] ^= 1, Err(ErrorKind::CorruptStore));
    check("keyspaces/1/tables", &|bytes| bytes.truncate(9000), Err(ErrorKind::CorruptEngine));
    check("keyspaces/1/current", &|bytes| bytes.truncate(1), Err(ErrorKind::CorruptEngine));
    // The journal's end may be torn: batches are lost whole, with the checkpoints that they have. What fjall has moved into
    // tables is newer than that end then: it was no crash.
    let torn = |bytes: &mut Vec<u8>| bytes.truncate(last_row(bytes));
    let in_the_middle = |bytes: &mut Vec<u8>| {
        let at = last_row(bytes) / 2;
        bytes[at] ^= 1;
    };
    for (damage, left) in [(&torn as &dyn Fn(&mut Vec<u8>), 3900), (&in_the_middle, 3400)] {
        let found = damaged(&host, "0.jnl", Moved::All, damage);
        assert_eq!(found, Err(ErrorKind::CorruptEngine), "{left} rows are left");
        let found = damaged(&host, "0.jnl", Moved::Some, damage);
        assert!(found == Ok(left) || found == Err(ErrorKind::CorruptEngine), "{left}: {found:?}");
    }
}
