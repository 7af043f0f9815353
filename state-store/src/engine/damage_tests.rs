//! fjall's files damaged in every way: what is damaged is told.

use anabranch_host::{Host, OpenOptions};

use super::tests::{open_fjall, write};
use super::*;
use crate::error::ErrorKind;
use crate::random::Random;

/// Flips bits in every file of a database, cuts it, removes it: what opens all the same is as some chunk left it.
#[test]
fn no_damage_is_taken_for_truth() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let disk = host.disk();
    let (written, damaged) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
    {
        let engine = open_fjall(&host, written.path()).expect("new");
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
        for attempt in 0..8 {
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

/// What is in tables must not vanish with the file that names them: the journal has only what came after.
#[test]
fn a_keyspace_that_lost_its_version_is_damaged() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let (disk, directory) = (host.disk(), tempfile::tempdir().expect("a directory"));
    {
        let engine = open_fjall(&host, directory.path()).expect("new");
        let mut store = engine.open_store("s").expect("sound");
        // Far more than stays in memory.
        for number in 0..200_u8 {
            let rows = [(vec![number], Some(vec![number; 8000]))];
            let checkpoint = Checkpoint { offset: number.into(), wall_clock_ms: 0 };
            write(&mut *store, &rows, Some(checkpoint)).expect("sound");
        }
        engine.sync().expect("sound");
    }
    let keyspaces = directory.path().join("rows/keyspaces");
    let tables = |folder: &Path| disk.read_dir(&folder.join("tables")).is_ok_and(|tables| !tables.is_empty());
    let folders =
        disk.read_dir(&keyspaces).expect("there").into_iter().map(|entry| keyspaces.join(entry.name));
    let folder = folders.into_iter().find(|folder| tables(folder)).expect("a keyspace with tables");
    disk.remove_file(&folder.join("current")).expect("there");
    let error = open_fjall(&host, directory.path()).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::CorruptEngine, "{error}");
}
