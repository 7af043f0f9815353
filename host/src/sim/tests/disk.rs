//! The disk: it answers as the real one does, and of what was not synced a loss of power leaves what it likes.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use crate::sim::dice::Dice;
use crate::sim::{DiskOptions, Sim, SimOptions, assert_same_trace};
use crate::{Disk, File, Host, OpenOptions};

fn sim(seed: u64, disk: DiskOptions) -> Sim {
    Sim::new(seed, SimOptions { disk, ..SimOptions::default() })
}

fn disk(sim: &Sim) -> Disk {
    sim.node("a").disk()
}

/// A loss of power, and the disk of the next life.
fn crash(sim: &Sim) -> Disk {
    sim.crash("a");
    disk(sim)
}

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn create(disk: &Disk, name: &str) -> File {
    disk.open(path(name), OpenOptions::create()).expect("it can be made")
}

/// The kind of an error, and its number if it has one.
fn told<T>(result: io::Result<T>) -> Result<T, (ErrorKind, Option<i32>)> {
    // What the standard library refuses by itself has no number.
    let number = |error: &io::Error| error.raw_os_error().filter(|_| error.kind() != ErrorKind::InvalidInput);
    result.map_err(|error| (error.kind(), number(&error)))
}

fn errno<T>(errno: Errno) -> Result<T, (ErrorKind, Option<i32>)> {
    told(Err(errno.into()))
}

// Like the real one.

/// One random call on a disk below `root`, told as text.
fn random_call(dice: &mut Dice, disk: &Disk, root: &Path, open: &mut Vec<File>) -> String {
    const NAMES: [&str; 7] = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/./a"];
    let mut name = || root.join(NAMES[usize::try_from(dice.below(NAMES.len() as u64)).unwrap()]);
    let (one, other) = (name(), name());
    let offset = dice.below(10_000);
    let bytes: Vec<u8> = (0..dice.below(600)).map(|index| (index ^ offset) as u8).collect();
    let options =
        OpenOptions { create: dice.happens(0.7), truncate: dice.happens(0.2), write: dice.happens(0.8) };
    let file = usize::try_from(dice.below(open.len().max(1) as u64)).unwrap();
    let call = dice.below(14);
    if let (9.., Some(file)) = (call, open.get(file).cloned()) {
        let mut read = vec![0; bytes.len()];
        return match call {
            9 => format!("write {offset} {:?}", told(file.write_all_at(&bytes, offset))),
            10 => format!("set_len {offset} {:?}", told(file.set_len(offset))),
            11 => format!("allocate {offset} {:?}", told(file.allocate(offset))),
            12 => format!("len {:?} {:?}", told(file.len()), told(file.is_empty())),
            _ => format!("read {offset} {:?} {read:?}", told(file.read_at(&mut read, offset))),
        };
    }
    let show = |path: &Path| path.strip_prefix(root).expect("below it").display().to_string();
    let (one_shown, other_shown) = (show(&one), show(&other));
    match call {
        0 => format!("create_dir_all {one_shown} {:?}", told(disk.create_dir_all(&one))),
        1 => format!("read_dir {one_shown} {:?}", told(disk.read_dir(&one))),
        2 => format!("exists {one_shown} {:?}", told(disk.exists(&one))),
        3 => format!("rename {one_shown} {other_shown} {:?}", told(disk.rename(&one, &other))),
        4 => format!("remove_file {one_shown} {:?}", told(disk.remove_file(&one))),
        5 if dice.happens(0.3) => format!("remove_dir_all {one_shown} {:?}", told(disk.remove_dir_all(&one))),
        6 => {
            open.clear();
            "close".to_string()
        }
        // The real one opens a directory to read, which nobody has a use for.
        _ if disk.read_dir(&one).is_ok() => String::new(),
        _ => match disk.open(&one, options) {
            Ok(file) => {
                open.push(file);
                format!("open {one_shown} {options:?}")
            }
            Err(error) => format!("open {one_shown} {options:?} {:?}", told::<()>(Err(error))),
        },
    }
}

#[test]
fn answers_as_the_real_one() {
    let (real, _runtime) = Host::real(1).expect("threads");
    for seed in 0..60 {
        let directory = tempfile::tempdir().expect("a directory");
        let sim = sim(seed, DiskOptions::default());
        let roots = [directory.path(), path("/root")];
        let disks = [real.disk(), disk(&sim)];
        disks[1].create_dir_all(roots[1]).expect("it can be made");
        let [real_calls, simulated_calls] = [0, 1].map(|index| {
            let mut dice = Dice::new(seed, "calls");
            let mut open = Vec::new();
            let call = |_| random_call(&mut dice, &disks[index], roots[index], &mut open);
            (0..200).map(call).collect::<Vec<String>>()
        });
        for (real_call, simulated_call) in real_calls.iter().zip(&simulated_calls) {
            assert_eq!(real_call, simulated_call, "seed {seed}");
        }
    }
}

#[test]
fn lock() {
    let sim = sim(1, DiskOptions::default());
    let check = |disk: &Disk, root: &Path| {
        let held = disk.lock_dir(root).expect("free");
        assert_eq!(disk.lock_dir(root).expect_err("held").kind(), ErrorKind::WouldBlock);
        drop(held);
        disk.lock_dir(root).expect("free again")
    };
    let directory = tempfile::tempdir().expect("a directory");
    let (real, _runtime) = Host::real(1).expect("threads");
    check(&real.disk(), directory.path());

    let held = check(&disk(&sim), path("/"));
    sim.kill("a");
    let next = disk(&sim).lock_dir(path("/")).expect("who held it has ended");
    drop(held);
    disk(&sim).lock_dir(path("/")).expect_err("what is left of the former life unlocks nothing");
    drop(next);
}

// Loss of power.

#[test]
fn synced_bytes_survive() {
    let mut lost = 0;
    for seed in 0..200 {
        let sim = sim(seed, DiskOptions::default());
        sim.block_on(async {
            let before = disk(&sim);
            let file = create(&before, "log");
            before.sync_dir(path("/")).await.expect("no fault");
            file.write_all_at(&[1; 3000], 0).expect("room");
            file.sync_data().await.expect("no fault");
            file.write_all_at(&[2; 3000], 3000).expect("room");

            let after = crash(&sim).read(path("log")).expect("its name is durable");
            assert_eq!(after[..3000], [1; 3000], "seed {seed}");
            assert!(after.len() <= 6000 && after[3000..].iter().all(|byte| [0, 2].contains(byte)));
            lost += u32::from(after[3000..] != [2; 3000]);
        });
    }
    assert!((100..200).contains(&lost), "{lost} of 200");
}

/// What a crash can leave of an overwrite of three sectors.
#[test]
fn unsynced_bytes_tear_by_sector() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let sim = sim(seed, DiskOptions::default());
        sim.block_on(async {
            let before = disk(&sim);
            let file = create(&before, "log");
            before.sync_dir(path("/")).await.expect("no fault");
            file.write_all_at(&[1; 1536], 0).expect("room");
            file.sync_data().await.expect("no fault");
            file.write_all_at(&[2; 1536], 0).expect("room");
            let after = crash(&sim).read(path("log")).expect("its name is durable");
            let sectors: Vec<u8> = after.chunks(512).map(|sector| sector[0]).collect();
            assert!(after.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
            seen.insert(sectors);
        });
    }
    assert_eq!(seen.len(), 8, "every mixture of three sectors: {seen:?}");
}

#[test]
fn unsynced_names_may_be_undone() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let sim = sim(seed, DiskOptions::default());
        sim.block_on(async {
            let before = disk(&sim);
            before.write_atomically(path("/kept"), b"1").await.expect("no fault");
            before.create_dir_all(path("/d")).expect("room");
            before.sync_dir(path("/")).await.expect("no fault");
            // Three changes in one directory: the later do not outlive the earlier.
            create(&before, "/d/a");
            before.rename(path("/d/a"), path("/d/b")).expect("it is there");
            create(&before, "/d/c");
            let after = crash(&sim);
            assert_eq!(after.read(path("/kept")).expect("it is durable"), b"1");
            let names = after.read_dir(path("/d")).expect("it is durable");
            seen.insert(names.into_iter().map(|entry| entry.name).collect::<String>());
        });
    }
    assert_eq!(seen, ["", "a", "b", "bc"].map(String::from).into());
}

#[test]
fn directories_made_durably_survive() {
    for seed in 0..50 {
        let sim = sim(seed, DiskOptions::default());
        sim.block_on(async {
            // Killed before any sync, then made again: what is there need not be durable.
            disk(&sim).create_dir_all(path("/a/b")).expect("room");
            sim.kill("a");
            disk(&sim).create_dir_durably(path("/a/b/c/d")).await.expect("no fault");
            assert!(crash(&sim).exists(path("/a/b/c/d")).expect("no fault"), "seed {seed}");
        });
    }
}

#[test]
fn what_is_synced_without_its_name_is_gone() {
    let mut kept = BTreeSet::new();
    for seed in 0..100 {
        let sim = sim(seed, DiskOptions::default());
        sim.block_on(async {
            let file = create(&disk(&sim), "/log");
            file.write_all_at(b"hello", 0).expect("room");
            file.sync_data().await.expect("no fault");
            kept.insert(crash(&sim).read(path("/log")).ok());
        });
    }
    assert_eq!(kept, [None, Some(b"hello".to_vec())].into());
}

#[test]
fn atomic_writes_are_atomic() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let sim = sim(seed, DiskOptions::default());
        let text = |version: u8| vec![version; 5000];
        let acknowledged = Arc::new(std::sync::atomic::AtomicU8::new(0));
        let (host, done) = (sim.node("a"), acknowledged.clone());
        drop(host.clone().spawn(async move {
            for version in 1..100 {
                host.disk().write_atomically(path("/checkpoint"), &text(version)).await.expect("no fault");
                done.store(version, std::sync::atomic::Ordering::Relaxed);
            }
        }));
        sim.run_for(Duration::from_micros(seed * 100));
        let acknowledged = acknowledged.load(std::sync::atomic::Ordering::Relaxed);
        let after = crash(&sim).read(path("/checkpoint"));
        let version = after.as_ref().map_or(0, |bytes| bytes.first().copied().unwrap_or(0));
        assert!(after.is_err() || after.is_ok_and(|bytes| bytes == text(version)), "seed {seed}: torn");
        assert!(version == acknowledged || version == acknowledged + 1, "seed {seed}: lost");
        seen.insert(version - acknowledged);
    }
    assert_eq!(seen.len(), 2, "crashes before and after the rename was durable");
}

#[test]
fn a_killed_process_leaves_its_writes() {
    let sim = sim(1, DiskOptions::default());
    let file = create(&disk(&sim), "/log");
    file.write_all_at(b"hello", 0).expect("room");
    sim.kill("a");
    assert!(file.write_all_at(b"h", 0).is_err() && file.len().is_err(), "the former life is over");
    assert_eq!(disk(&sim).read(path("/log")).expect("kept"), b"hello");
    sim.wipe("a");
    assert!(!disk(&sim).exists(path("/log")).expect("an empty disk"));
}

#[test]
fn a_machine_without_a_process_loses_power_too() {
    let mut kept = BTreeSet::new();
    for seed in 0..50 {
        let sim = sim(seed, DiskOptions::default());
        create(&disk(&sim), "/log");
        sim.kill("a");
        sim.copy_disk("a", "b");
        let there = |name| sim.node(name).disk().exists(path("/log")).expect("no fault");
        sim.crash("b");
        assert!(there("a"), "only the copy lost power");
        sim.kill("a");
        sim.crash("a");
        kept.insert((there("a"), there("b")));
    }
    assert_eq!(kept.len(), 4, "a copy has luck of its own: {kept:?}");
}

// Faults.

#[test]
fn a_synced_volume_survives_whole_and_a_failed_one_says_so() {
    for seed in 0..100 {
        let healthy = sim(seed, DiskOptions::default());
        healthy.block_on(async {
            let before = disk(&healthy);
            before.create_dir_all(path("/d/e")).expect("room");
            for name in ["/a", "/d/b", "/d/e/c"] {
                create(&before, name).write_all_at(name.as_bytes(), 0).expect("room");
            }
            before.rename(path("/a"), path("/d/a")).expect("it is there");
            let volume = before.volume(path("/d")).expect("it is there").expect("it can be synced");
            volume.sync().await.expect("no fault");
            create(&before, "/later");
            before.remove_file(path("/d/b")).expect("it is there");
            let after = crash(&healthy);
            assert_eq!(after.read(path("/d/a")).expect("it is durable"), b"/a", "seed {seed}");
            assert_eq!(after.read(path("/d/e/c")).expect("it is durable"), b"/d/e/c", "seed {seed}");
        });
        let options = DiskOptions { sync_failure_probability: 1.0, ..DiskOptions::default() };
        let failing = sim(seed, options);
        failing.block_on(async {
            let before = disk(&failing);
            create(&before, "/a").write_all_at(b"a", 0).expect("room");
            let volume = before.volume(path("/")).expect("it is there").expect("it can be synced");
            volume.sync().await.expect_err("a fault");
        });
    }
}

/// Writes that come while a sync is under way are not covered by it.
#[test]
fn a_sync_covers_what_was_before() {
    let mut kept = BTreeSet::new();
    for seed in 0..50 {
        let sim = sim(seed, DiskOptions::default());
        sim.block_on(async {
            let before = disk(&sim);
            let file = create(&before, "/log");
            before.sync_dir(path("/")).await.expect("no fault");
            file.write_all_at(b"1", 0).expect("room");
            let syncing = file.clone();
            let sync = sim.node("a").spawn(async move { syncing.sync_data().await });
            sim.sleep(Duration::from_micros(10)).await;
            file.write_all_at(b"2", 1).expect("room");
            sync.await.expect("no panic").expect("no fault");
            kept.insert(crash(&sim).read(path("/log")).expect("durable"));
        });
    }
    assert_eq!(kept, [b"1".to_vec(), b"12".to_vec()].into());
}

#[test]
fn slow_syncs_take_virtual_time() {
    let slow = Duration::from_secs(5);
    let options =
        DiskOptions { slow_sync_probability: 1.0, slow_sync: slow..=slow, ..DiskOptions::default() };
    let sim = sim(1, options);
    sim.block_on(async {
        let file = create(&disk(&sim), "/log");
        let before = sim.now();
        file.sync_data().await.expect("no fault");
        assert!(sim.now() - before >= slow);
        sim.set_disk("a", DiskOptions::default());
        file.sync_data().await.expect("no fault");
        assert!(sim.now() - before < slow * 2);
    });
}

#[test]
fn a_failed_sync_loses_what_a_later_one_does_not_bring_back() {
    let mut later = BTreeSet::new();
    let mut lost = 0;
    for seed in 0..100 {
        let sim = sim(seed, DiskOptions::default());
        sim.block_on(async {
            let before = disk(&sim);
            let file = create(&before, "/log");
            before.sync_dir(path("/")).await.expect("no fault");
            sim.set_disk("a", DiskOptions { sync_failure_probability: 1.0, ..DiskOptions::default() });
            file.write_all_at(&[1; 1024], 0).expect("room");
            assert_eq!(told(file.sync_data().await), errno(Errno::IO));
            sim.set_disk("a", DiskOptions::default());
            let mut read = [0; 1024];
            file.read_exact_at(&mut read, 0).expect("still in the page cache");
            assert_eq!(read, [1; 1024]);
            later.insert(told(file.sync_data().await).is_ok());
            let after = crash(&sim).read(path("/log")).expect("durable");
            lost += u32::from(after != [1; 1024]);
            file.sync_data().await.expect_err("the former life");
            create(&disk(&sim), "/log").sync_data().await.expect("a new start");
        });
    }
    assert_eq!(later.len(), 2, "some disks fail again, some lie");
    assert!(lost > 30, "{lost}");
}

#[test]
fn a_failed_directory_sync_stays_failed() {
    let sim = sim(1, DiskOptions { sync_failure_probability: 1.0, ..DiskOptions::default() });
    sim.block_on(async {
        assert_eq!(told(disk(&sim).sync_dir(path("/")).await), errno(Errno::IO));
        sim.set_disk("a", DiskOptions::default());
        assert_eq!(told(disk(&sim).sync_dir(path("/")).await), errno(Errno::IO));
        crash(&sim).sync_dir(path("/")).await.expect("a new start");
    });
}

#[test]
fn a_full_disk() {
    let sim = sim(1, DiskOptions { capacity_bytes: Some(10 * 4096), ..DiskOptions::default() });
    let disk = disk(&sim);
    let file = create(&disk, "/log");
    assert_eq!(told(file.allocate(11 * 4096)), errno(Errno::NOSPC));
    file.allocate(4 * 4096).expect("room");
    let other = create(&disk, "/other");
    assert_eq!(told(other.write_all_at(&[1; 7 * 4096], 0)), errno(Errno::NOSPC));
    assert_eq!(other.len().expect("open"), 6 * 4096, "what fitted");
    assert_eq!(told(disk.open(path("/third"), OpenOptions::create()).map(|_| ())), errno(Errno::NOSPC));
    file.write_all_at(&[1; 4 * 4096], 0).expect("into the space kept for it");
    assert_eq!(told(file.write_all_at(&[1], 4 * 4096)), errno(Errno::NOSPC));
    other.write_all_at(&[2; 100], 50).expect("no new page");
    disk.remove_file(path("/other")).expect("it is there");
    assert_eq!(told(file.write_all_at(&[1], 4 * 4096)), errno(Errno::NOSPC), "it is still open");
    drop(other);
    file.write_all_at(&[1], 4 * 4096).expect("room again");
}

#[test]
fn failing_reads_and_writes() {
    let sim = sim(1, DiskOptions { write_failure_probability: 0.5, ..DiskOptions::default() });
    let file = create(&disk(&sim), "/log");
    let results: Vec<_> = (0..20).map(|at| told(file.write_all_at(&[1; 10], at * 10))).collect();
    assert!(results.contains(&Ok(())) && results.contains(&errno(Errno::IO)));
    sim.set_disk("a", DiskOptions { read_failure_probability: 1.0, ..DiskOptions::default() });
    assert_eq!(told(file.read_at(&mut [0], 0)), errno(Errno::IO));
}

#[test]
fn a_flipped_bit() {
    let sim = sim(1, DiskOptions::default());
    let disk = disk(&sim);
    let file = create(&disk, "/log");
    assert!(sim.corrupt_file("a", path("/log")).is_err(), "nothing in it");
    assert!(sim.corrupt_file("a", path("/none")).is_err());
    file.write_all_at(&[0; 1000], 0).expect("room");
    let offset = sim.corrupt_file("a", path("/log")).expect("it is there");
    let bytes = disk.read(path("/log")).expect("it is there");
    let flipped: Vec<usize> = (0..1000).filter(|index| bytes[*index].count_ones() == 1).collect();
    assert_eq!(flipped, [usize::try_from(offset).unwrap()]);
}

#[test]
fn what_nothing_leads_to_is_forgotten() {
    let sim = sim(1, DiskOptions::default());
    sim.block_on(async {
        let host = sim.node("a");
        for number in 0..500 {
            let name = PathBuf::from(format!("/segment{number}"));
            host.disk().open(&name, OpenOptions::create()).expect("room");
            host.disk().remove_file(&name).expect("it is there");
            host.disk().sync_dir(path("/")).await.expect("no fault");
        }
        let mut state = sim.shared.state();
        let id = state.find("a").expect("it is known");
        assert!(state.node(id).disk.inode_count() < 40);
    });
}

// A log, as a broker keeps one.

/// Appends records of five bytes and a check byte, acknowledges after a sync, dies, recovers; and again.
fn log_workload(sim: &Sim) {
    let file = path("/data/log");
    let acknowledged = Arc::new(std::sync::Mutex::new(Vec::<u32>::new()));
    let mut next = 0;
    sim.block_on(async {
        for life in 0..8 {
            let host = sim.node("a");
            let disk = host.disk();
            disk.create_dir_all(path("/data")).expect("room");
            let log = disk.open(file, OpenOptions::create()).expect("room");
            disk.sync_dir(path("/data")).await.expect("no fault");
            disk.sync_dir(path("/")).await.expect("no fault");

            // Recovery: the records up to the first that is not whole.
            let bytes = disk.read(file).expect("just made");
            let whole: Vec<u32> = bytes.chunks_exact(5).map_while(parse_record).collect();
            let acked = acknowledged.lock().unwrap().clone();
            assert!(whole.starts_with(&acked), "life {life}: {} of {} recovered", whole.len(), acked.len());
            assert!(whole.windows(2).all(|pair| pair[0] < pair[1]), "life {life}: out of order");
            log.set_len(whole.len() as u64 * 5).expect("open");
            log.sync_data().await.expect("no fault");
            *acknowledged.lock().unwrap() = whole.clone();

            let (first, acknowledged, task_host) = (next, acknowledged.clone(), host.clone());
            let mut records = whole;
            next += 1_000_000;
            drop(host.spawn(async move {
                for record in first.. {
                    log.write_all_at(&render_record(record), records.len() as u64 * 5).expect("room");
                    records.push(record);
                    if task_host.random_below(3) == 0 {
                        log.sync_data().await.expect("no fault");
                        *acknowledged.lock().unwrap() = records.clone();
                    }
                }
            }));
            sim.sleep(Duration::from_millis(host.random_below(60))).await;
            if host.random_below(3) == 0 { sim.kill("a") } else { sim.crash("a") }
        }
    });
    assert_eq!(sim.panics(), []);
}

fn render_record(record: u32) -> [u8; 5] {
    let [a, b, c, d] = record.to_be_bytes();
    [a, b, c, d, !(a ^ b ^ c ^ d)]
}

fn parse_record(bytes: &[u8]) -> Option<u32> {
    let record = u32::from_be_bytes(bytes[..4].try_into().expect("four of five"));
    (render_record(record) == bytes).then_some(record)
}

#[test]
fn acknowledged_records_survive_every_crash() {
    for seed in 0..100 {
        log_workload(&Sim::new(seed, SimOptions::chaos(seed)));
    }
}

#[test]
fn same_seed_same_trace() {
    for seed in 0..10 {
        assert_same_trace(seed, &SimOptions::chaos(seed), log_workload);
    }
}
