//! One contract, every engine; and what those on disk must survive.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::ops::Bound;
use std::path::Path;
use std::process::{Command, Stdio};

use anabranch_host::{Disk, Host, OpenOptions};

use super::fjall::{FjallEngine, FjallOptions};
use super::journal::JournalEngine;
use super::long_keys::PREFIX_BYTES;
use super::memory::MemoryEngine;
#[cfg(feature = "sled")]
use super::sled::{SledEngine, SledOptions};
use super::*;
use crate::error::{Error, ErrorKind};
use crate::random::Random;
use crate::{Context, KeyValueTable, TableOptions};

pub(super) type Model = BTreeMap<Vec<u8>, Vec<u8>>;

pub(super) fn write(
    store: &mut dyn EngineStore,
    rows: &[(Vec<u8>, Option<Vec<u8>>)],
    checkpoint: Option<Checkpoint>,
) -> Result<()> {
    let rows = rows.iter().map(|(key, value)| (&key[..], value.as_deref().map(|value| Row::new(value, 3))));
    store.write(&mut { rows }, checkpoint)
}

pub(super) fn read(
    snapshot: &dyn EngineSnapshot,
    range: &KeyRange<'_>,
    order: Order,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut scan = snapshot.scan(range, order).expect("sound");
    let (mut key, mut row, mut all) = (Vec::new(), RowBuffer::default(), Vec::new());
    while scan.next(&mut key, &mut row).expect("sound") {
        assert_eq!((row.timestamp, row.headers.len()), (3, 0));
        all.push((key.clone(), row.value.clone()));
    }
    all
}

pub(super) fn model_range(model: &Model, range: &KeyRange<'_>, order: Order) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all: Vec<_> = model.clone().into_iter().filter(|(key, _)| range.contains(key)).collect();
    if order == Order::Reverse {
        all.reverse();
    }
    all
}

/// What every engine must do. `reopen` closes it and opens it again.
fn keeps_the_contract(mut engine: Box<dyn Engine>, reopen: impl Fn(Box<dyn Engine>) -> Box<dyn Engine>) {
    let random = &mut Random(1);
    let mut model = Model::new();
    let mut checkpoint = None;
    assert_eq!(engine.store_names().expect("sound"), Vec::<String>::new());
    for round in 0..12 {
        let mut store = engine.open_store("0_0/one").expect("sound");
        assert_eq!(store.checkpoint().expect("sound"), checkpoint);
        assert_eq!(store.is_empty().expect("sound"), model.is_empty());
        for step in 0..20 {
            let before = store.snapshot().expect("sound");
            let model_before = model.clone();
            let mut rows = BTreeMap::new();
            for _ in 0..random.below(30) {
                rows.insert(random.bytes(3), (random.below(3) > 0).then(|| random.bytes(500)));
            }
            let rows: Vec<_> = rows.into_iter().collect();
            match random.below(16) {
                0..6 => {
                    checkpoint = Some(Checkpoint { offset: round * 20 + step, wall_clock_ms: -round });
                    write(&mut *store, &rows, checkpoint).expect("sound");
                }
                _ => write(&mut *store, &rows, None).expect("sound"),
            }
            for (key, value) in rows {
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
            }
            assert_eq!(store.checkpoint().expect("sound"), checkpoint);
            let (first, last) = (random.bytes(2), random.bytes(2));
            let after = store.snapshot().expect("sound");
            for range in [
                KeyRange::all(),
                KeyRange::prefix(&first),
                KeyRange::inclusive(Some(&first), Some(&last)),
                KeyRange::new(Bound::Excluded(&first), Bound::Excluded(&last)),
                KeyRange::new(Bound::Unbounded, Bound::Excluded(&last)),
            ] {
                for order in [Order::Forward, Order::Reverse] {
                    assert_eq!(read(&*before, &range, order), model_range(&model_before, &range, order));
                    assert_eq!(read(&*after, &range, order), model_range(&model, &range, order));
                }
            }
            let mut row = RowBuffer::default();
            for _ in 0..10 {
                let key = random.bytes(2);
                let found = store.get(&key, &mut row).expect("sound");
                assert_eq!(found.then_some(&row.value), model.get(&key));
            }
        }
        drop(store);
        if round % 10 == 5 {
            engine.drop_store("0_0/one").expect("closed");
            (model, checkpoint) = (Model::new(), None);
        }
        if round % 3 == 2 {
            engine = reopen(engine);
        }
    }

    // Others are not touched, and names are what they were.
    let mut other = engine.open_store("0_0/other").expect("sound");
    assert!(other.is_empty().expect("sound"));
    write(&mut *other, &[(vec![], Some(vec![1]))], None).expect("sound");
    drop(other);
    engine.drop_store("0_0/one").expect("closed");
    engine.drop_store("0_0/never").expect("no error if it is not there");
    assert_eq!(engine.store_names().expect("sound"), ["0_0/other"]);
    assert!(!engine.open_store("0_0/other").expect("sound").is_empty().expect("sound"));
    for name in [String::new(), "n".repeat(256)] {
        assert!(matches!(engine.open_store(&name), Err(Error::StoreName { .. })));
    }

    // Keys of all lengths, and the limit.
    let lengths = [0, 1, 15, 16, 22, 23, 79, 80, 255, 256, 4096, 65_533, 65_534, 65_535, 65_536];
    let lengths: Vec<usize> = lengths.into_iter().chain([KEY_LIMIT_BYTES - 1, KEY_LIMIT_BYTES]).collect();
    let open = |engine: &dyn Engine| {
        let store = engine.open_store("0_0/keys").expect("sound");
        KeyValueTable::open(store, TableOptions::default()).expect("sound")
    };
    let mut table = open(&*engine);
    for &length in &lengths {
        let key = vec![length as u8; length];
        table.put(&key, Some(Row::new(&key, 1)), &Context::none(1)).expect("within the limit");
    }
    let over = vec![0; KEY_LIMIT_BYTES + 1];
    let refused = table.put(&over, Some(Row::new(b"v", 1)), &Context::none(1)).expect_err("too long");
    assert_eq!(refused.kind(), ErrorKind::Record);
    assert!(refused.to_string().contains("1048577 bytes is over the limit of 1048576 bytes"), "{refused}");
    let epoch = table.seal_epoch().expect("nothing pending");
    table.commit_epoch(epoch, None).expect("sealed");
    while table.write_behind(10_000).expect("sound") {}
    drop(table);
    engine = reopen(engine);
    let mut table = open(&*engine);
    for &length in &lengths {
        let key = vec![length as u8; length];
        assert_eq!(table.get(&key).expect("sound"), Some(Row::new(&key, 1)), "{length}");
    }
    assert_eq!(table.get(&over).expect("not there, no error"), None);
    drop(table);
    long_keys_are_in_order(&*engine);
    segments_end_with_their_rows(engine, reopen);
}

/// Keys that begin alike, longer than some engine's own may be, are found, scanned and deleted as others are.
fn long_keys_are_in_order(engine: &dyn Engine) {
    let random = &mut Random(2);
    let mut store = engine.open_store("0_0/long").expect("sound");
    let mut model = Model::new();
    let long_key = |random: &mut Random| {
        let mut key = vec![7; PREFIX_BYTES - 1 + random.below(3)];
        // The keys of one more bucket, and short ones between both.
        key[1] = 7 + random.below(2) as u8;
        if random.below(4) == 0 {
            key.truncate(1 + random.below(2));
        }
        key.extend(random.bytes(2));
        key
    };
    for step in 0..6 {
        let rows: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            (0..6).map(|_| (long_key(random), (random.below(3) > 0).then(|| random.bytes(9)))).collect();
        let rows: Vec<_> = rows.into_iter().collect();
        let before = (store.snapshot().expect("sound"), model.clone());
        write(&mut *store, &rows, None).expect("sound");
        for (key, value) in rows {
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
        let (first, last) = (long_key(random), long_key(random));
        let after = (store.snapshot().expect("sound"), model.clone());
        for (snapshot, model) in [before, after] {
            for range in [
                KeyRange::all(),
                KeyRange::prefix(&first),
                KeyRange::inclusive(Some(&first), Some(&last)),
                KeyRange::new(Bound::Excluded(&first), Bound::Excluded(&last)),
                KeyRange::new(Bound::Unbounded, Bound::Excluded(&last)),
            ] {
                for order in [Order::Forward, Order::Reverse] {
                    assert!(read(&*snapshot, &range, order) == model_range(&model, &range, order), "{step}");
                }
            }
        }
        let mut row = RowBuffer::default();
        for key in [first, last].iter().chain(model.keys()) {
            let found = store.get(key, &mut row).expect("sound");
            assert_eq!(found.then_some(&row.value), model.get(key));
        }
    }
}

/// Stores of one engine that are written in turn come back, and one that is dropped does not.
fn segments_end_with_their_rows(
    mut engine: Box<dyn Engine>,
    reopen: impl Fn(Box<dyn Engine>) -> Box<dyn Engine>,
) {
    let names = ["0_1-w", "0_1-w#1", "0_1-w#2"];
    for round in 0..3_u8 {
        for name in names {
            let mut store = engine.open_store(name).expect("sound");
            write(&mut *store, &[(vec![round], Some(vec![round]))], None).expect("sound");
        }
    }
    engine.drop_store("0_1-w#1").expect("closed");
    engine.sync().expect("sound");
    engine = reopen(engine);
    for (name, expected) in names.into_iter().zip([3, 0, 3]) {
        let snapshot = engine.open_store(name).and_then(|store| store.snapshot()).expect("sound");
        assert_eq!(read(&*snapshot, &KeyRange::all(), Order::Forward).len(), expected, "{name}");
    }
}

#[test]
fn memory_keeps_the_contract() {
    keeps_the_contract(Box::new(MemoryEngine::new()), |engine| engine);
}

#[test]
fn journal_keeps_the_contract() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let directory = tempfile::tempdir().expect("a directory");
    let open = || -> Box<dyn Engine> {
        Box::new(JournalEngine::open(&host.disk(), directory.path()).expect("sound"))
    };
    keeps_the_contract(open(), |engine| {
        drop(engine);
        open()
    });
}

/// Flips every bit of a journal, cuts it everywhere: whatever opens has what some frames left, and what is read is right.
#[test]
fn a_damaged_journal_is_told_or_is_an_earlier_one() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let disk = host.disk();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("journal");
    let open = || JournalEngine::open(&disk, directory.path());
    let engine = open().expect("sound");
    let mut store = engine.open_store("0_0-s").expect("sound");
    for offset in 0..3 {
        let rows = [(b"k".to_vec(), Some(vec![offset as u8; 2])), (vec![offset as u8], Some(b"x".to_vec()))];
        write(&mut *store, &rows, Some(Checkpoint { offset, wall_clock_ms: 0 })).expect("sound");
    }
    drop((store, engine));
    let sound = disk.read(&path).expect("it is there");
    let put = |bytes: &[u8]| {
        let file = disk.open(&path, OpenOptions::create_empty()).expect("sound");
        file.write_all_at(bytes, 0).expect("sound");
    };
    let look = |damaged: &[u8]| {
        put(damaged);
        let Ok(engine) = open() else { return };
        let store = engine.open_store("0_0-s").expect("sound");
        let rows = read(&*store.snapshot().expect("sound"), &KeyRange::all(), Order::Forward);
        let expected = store.checkpoint().expect("sound").map_or(0, |checkpoint| checkpoint.offset + 1);
        assert_eq!(rows.len() as i64, if expected == 0 { 0 } else { expected + 1 });
        assert!(expected < 3 || damaged == sound);
    };
    for end in 0..sound.len() {
        look(&sound[..end]);
    }
    for bit in 0..8 * sound.len() {
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        look(&damaged);
    }
    // While it is open, too.
    put(&sound);
    let engine = open().expect("sound");
    let store = engine.open_store("0_0-s").expect("sound");
    put(&vec![7; sound.len()]);
    let error = store.get(b"k", &mut RowBuffer::default()).expect_err("it is damaged");
    assert_eq!(error.kind(), ErrorKind::CorruptStore);
}

pub(super) fn open_fjall(host: &Host, directory: &Path) -> Result<FjallEngine> {
    FjallEngine::open(&host.disk(), directory, FjallOptions { cache_bytes: 1 << 20, memtable_bytes: 1 << 16 })
}

/// Opens an engine on disk.
pub(super) type Open = fn(&Host, &Path) -> Result<Box<dyn Engine>>;

/// Those that there are.
pub(super) const ON_DISK: &[(&str, Open)] = &[
    ("fjall", |host, directory| Ok(Box::new(open_fjall(host, directory)?))),
    #[cfg(feature = "sled")]
    ("sled", |host, directory| {
        let options = SledOptions { cache_bytes: 1 << 20 };
        Ok(Box::new(SledEngine::open(&host.disk(), directory, options)?))
    }),
];

#[test]
fn those_on_disk_keep_the_contract() {
    let (host, _runtime) = Host::real(1).expect("threads");
    for (_, open) in ON_DISK {
        let directory = tempfile::tempdir().expect("a directory");
        let open = || open(&host, directory.path()).expect("sound");
        keeps_the_contract(open(), |engine| {
            drop(engine);
            open()
        });
    }
}

#[test]
fn a_crash_forgets_the_last_unsynced_batches() {
    for kept in 0..4 {
        let engine = MemoryEngine::new();
        let mut store = engine.open_store("s").expect("sound");
        let mut put = |key: u8| write(&mut *store, &[(vec![key], Some(vec![]))], None).expect("sound");
        put(0);
        engine.sync().expect("sound");
        (1..4).for_each(&mut put);
        assert_eq!(engine.unsynced_batches(), 3);
        engine.crash(kept);
        assert_eq!(engine.unsynced_batches(), 0);
        let snapshot = engine.open_store("s").and_then(|store| store.snapshot()).expect("sound");
        assert_eq!(read(&*snapshot, &KeyRange::all(), Order::Forward).len(), 1 + kept);
    }
}

#[test]
fn a_second_instance_is_refused() {
    let (host, _runtime) = Host::real(1).expect("threads");
    for (name, open) in ON_DISK {
        let directory = tempfile::tempdir().expect("a directory");
        let first = open(&host, directory.path()).expect("free");
        let store = first.open_store("s").expect("sound");
        let refused = open(&host, directory.path()).expect_err("in use");
        assert_eq!(refused.kind(), ErrorKind::Locked, "{name}");
        drop(first);
        assert!(open(&host, directory.path()).is_err(), "{name}: a store is still open");
        drop(store);
        open(&host, directory.path()).expect("free again");
    }
}

#[cfg(feature = "sled")]
#[test]
fn a_directory_of_another_version_is_refused() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let directory = tempfile::tempdir().expect("a directory");
    let open = || SledEngine::open(&host.disk(), directory.path(), SledOptions::default());
    drop(open().expect("new"));
    let version = directory.path().join("version");
    let file = host.disk().open(&version, OpenOptions::create_empty()).expect("there");
    file.write_all_at(b"2", 0).expect("written");
    let refused = open().expect_err("another version");
    assert_eq!(refused.kind(), ErrorKind::OtherVersion);
    assert!(refused.to_string().contains("has format version 2, this program knows 1"), "{refused}");
    // Without it nothing was ever written.
    host.disk().remove_file(&version).expect("there");
    assert_eq!(open().expect("made anew").store_names().expect("sound"), Vec::<String>::new());
}

pub(super) fn copy(disk: &Disk, from: &Path, to: &Path) {
    disk.create_dir_all(to).expect("made");
    for entry in disk.read_dir(from).expect("there") {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        if entry.is_dir {
            copy(disk, &from, &to);
        } else {
            let bytes = disk.read(&from).expect("there");
            disk.open(&to, OpenOptions::create_empty())
                .and_then(|file| file.write_all_at(&bytes, 0))
                .expect("written");
        }
    }
}

#[test]
fn a_first_start_may_be_killed() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let directory = tempfile::tempdir().expect("a directory");
    drop(open_fjall(&host, directory.path()).expect("new"));
    // fjall makes its marker last, before anything can be written.
    host.disk().remove_file(&directory.path().join("rows/version")).expect("there");
    let engine = open_fjall(&host, directory.path()).expect("made anew");
    assert_eq!(engine.store_names().expect("sound"), Vec::<String>::new());
}

/// It makes its marker first: the file, then what is in it.
#[cfg(feature = "sled")]
#[test]
fn a_first_start_of_sled_may_be_killed() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let directory = tempfile::tempdir().expect("a directory");
    let made = host.disk().open(&directory.path().join("version"), OpenOptions::create_empty());
    drop(made.expect("made"));
    let engine = SledEngine::open(&host.disk(), directory.path(), SledOptions::default()).expect("made anew");
    assert_eq!(engine.store_names().expect("sound"), Vec::<String>::new());
}

#[test]
fn a_store_of_another_version_is_refused() {
    let (host, _runtime) = Host::real(1).expect("threads");
    let directory = tempfile::tempdir().expect("a directory");
    drop(open_fjall(&host, directory.path()).expect("new"));
    let write_raw = |store: &str, key: &[u8], value: &[u8]| {
        let database = ::fjall::Database::builder(directory.path().join("rows")).open().expect("sound");
        let keyspace = database.keyspace(store, ::fjall::KeyspaceCreateOptions::default).expect("sound");
        keyspace.insert(key, value).expect("sound");
    };
    write_raw("newer", &[0], &[2, 0]);
    write_raw("headless", &[1, 5], &[0; 9]);
    let engine = open_fjall(&host, directory.path()).expect("sound");
    for (store, kind) in [("newer", ErrorKind::OtherVersion), ("headless", ErrorKind::CorruptStore)] {
        assert_eq!(engine.open_store(store).expect_err(store).kind(), kind);
        engine.drop_store(store).expect("dropped without being opened");
        engine.open_store(store).expect("made anew");
    }
}

const DIRECTORY: &str = "ANABRANCH_TEST_STATE_DIRECTORY";
const ENGINE: &str = "ANABRANCH_TEST_STATE_ENGINE";
const KEYS: i64 = 97;

/// The write at an offset; every seventh one deletes.
fn killed_write(offset: i64) -> (Vec<u8>, Option<Vec<u8>>) {
    let key = (offset * offset % KEYS).to_be_bytes().to_vec();
    (key, (offset % 7 != 0).then(|| [offset.to_be_bytes(); 40].concat()))
}

/// The other side of the test below: goes on where the checkpoint says and tells every chunk it wrote.
#[test]
fn writes_until_it_is_killed() {
    let (Ok(directory), Ok(name)) = (std::env::var(DIRECTORY), std::env::var(ENGINE)) else { return };
    let (host, _runtime) = Host::real(1).expect("threads");
    let (_, open) = ON_DISK.iter().find(|(known, _)| *known == name).expect("one of ours");
    let engine = open(&host, Path::new(&directory)).expect("whatever the kill left");
    let mut store = engine.open_store("s").expect("sound");
    let mut offset = store.checkpoint().expect("sound").map_or(0, |checkpoint| checkpoint.offset + 1);
    loop {
        let rows: Vec<_> = (offset..offset + 10).map(killed_write).collect();
        offset += 10;
        write(&mut *store, &rows, Some(Checkpoint { offset: offset - 1, wall_clock_ms: 0 })).expect("sound");
        if offset % 100 == 0 {
            engine.sync().expect("sound");
            println!("\nsynced {}", offset - 1);
        }
        println!("\nwrote {}", offset - 1);
    }
}

#[test]
fn a_killed_process_leaves_whole_chunks() {
    let (host, _runtime) = Host::real(1).expect("threads");
    for (name, open) in ON_DISK {
        // What fjall is told has been told to the kernel; sled tells it later, or when it is synced.
        let tells = if *name == "fjall" { "wrote " } else { "synced " };
        let directory = tempfile::tempdir().expect("a directory");
        for chunks in [1, 300, 900, 40] {
            let mut child = Command::new(std::env::current_exe().expect("this test"))
                .args(["--exact", "engine::tests::writes_until_it_is_killed", "--nocapture"])
                .env(DIRECTORY, directory.path())
                .env(ENGINE, name)
                .stdout(Stdio::piped())
                .spawn()
                .expect("this test runs");
            let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
            let lines = lines.map_while(std::result::Result::ok);
            let (mut told, mut seen) = (-1_i64, 0);
            for line in lines {
                if let Some(offset) = line.strip_prefix(tells) {
                    told = offset.parse().expect("an offset");
                }
                seen += usize::from(line.starts_with("wrote "));
                if seen >= chunks {
                    break;
                }
            }
            child.kill().expect("it runs");
            child.wait().expect("it was killed");

            let engine = open(&host, directory.path()).expect("whatever the kill left");
            let store = engine.open_store("s").expect("sound");
            let offset = store.checkpoint().expect("sound").map_or(-1, |checkpoint| checkpoint.offset);
            assert!(offset >= told, "{name}: {offset} is less than what was told, {told}");
            let mut model = Model::new();
            for (key, value) in (0..=offset).map(killed_write) {
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
            }
            let snapshot = store.snapshot().expect("sound");
            let rows = read(&*snapshot, &KeyRange::all(), Order::Forward);
            assert_eq!(rows, model.into_iter().collect::<Vec<_>>(), "{name}");
        }
    }
}
