//! A process that restores tables at once is killed at any time: what it leaves is a whole table or none, and no damage.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::*;
use crate::engine::fjall::{FjallEngine, FjallOptions};
use crate::engine::segments::is_segment;
use crate::random::Random;

const DIRECTORY: &str = "ANABRANCH_TEST_RESTORED_DIRECTORY";
const FIRST: &str = "ANABRANCH_TEST_RESTORED_FIRST";
const KEYS: TimedKeys = TimedKeys { number_bytes: 4, segment_ms: 10 };
const OPTIONS: TableOptions = TableOptions { cached: false, timed: Some(KEYS) };
const ROWS: u32 = 3000;
const CHECKPOINT: Checkpoint = Checkpoint { offset: ROWS as i64 - 1, wall_clock_ms: 0 };

fn open(directory: &Path) -> (anabranch_host::RealRuntime, Arc<dyn Engine>) {
    let (host, runtime) = anabranch_host::Host::real(1).expect("threads");
    let engine = FjallEngine::open(&host.disk(), directory, FjallOptions::default());
    (runtime, Arc::new(engine.expect("whatever the kill left")))
}

/// A row of a changelog, of one of four segments.
fn row(number: u32) -> (Vec<u8>, [u8; 40]) {
    let time = u64::from(number.wrapping_mul(2_654_435_761) % 40);
    ([&b"k"[..], &time.to_be_bytes(), &(number % 700).to_be_bytes()].concat(), [number as u8; 40])
}

fn restore(table: &mut KeyValueTable) {
    table.begin_restore().expect("sound");
    for number in 0..ROWS {
        let (key, value) = row(number);
        table.restore(&key, Some(Row::new(&value, 1))).expect("sound");
        if number == ROWS / 2 {
            table.evict(10_000).expect("sound");
        }
    }
    table.restored_to(CHECKPOINT);
}

/// The other side of the test below: restores one table after the other and tells of every step.
#[test]
fn restores_until_it_is_killed() {
    let (Ok(directory), Ok(first)) = (std::env::var(DIRECTORY), std::env::var(FIRST)) else { return };
    let (_runtime, engine) = open(Path::new(&directory));
    for store in first.parse::<u32>().expect("a number").. {
        let name = format!("0_{store}-windows");
        let mut table = KeyValueTable::open_in(Arc::clone(&engine), &name, OPTIONS).expect("sound");
        restore(&mut table);
        while !table.end_restore().expect("sound") {
            println!("\nstep");
            std::thread::yield_now();
        }
        println!("\nwhole {store}");
    }
}

#[test]
fn a_killed_restoration_leaves_a_whole_table_or_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut expected = BTreeMap::new();
    (0..ROWS).map(row).for_each(|(key, value)| _ = expected.insert(key, value.to_vec()));
    let mut whole = 0;
    for seed in 0..8 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "key_value::killed_tests::restores_until_it_is_killed", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .env(FIRST, whole.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let lines = lines.map_while(std::result::Result::ok).filter(|line| !line.is_empty());
        // Each process has come to its end with a table at least, and is in the midst of a later one.
        let (mut steps, until) = (Random(seed).below(2000), whole + 1);
        for line in lines {
            if let Some(store) = line.strip_prefix("whole ") {
                whole = store.parse::<u32>().expect("a number") + 1;
            }
            steps = steps.saturating_sub(usize::from(whole >= until));
            if whole >= until && steps == 0 {
                break;
            }
        }
        child.kill().expect("it runs");
        child.wait().expect("it was killed");

        let (_runtime, engine) = open(directory.path());
        let names = engine.store_names().expect("sound");
        for name in names.iter().filter(|name| !is_segment(name)) {
            let mut table = KeyValueTable::open_in(Arc::clone(&engine), name, OPTIONS).expect("sound");
            let number: u32 = name[2..].strip_suffix("-windows").and_then(|n| n.parse().ok()).expect("ours");
            let read = |table: &mut KeyValueTable| {
                let mut rows = BTreeMap::new();
                let each = |key: &[u8], row: Row<'_>| _ = rows.insert(key.to_vec(), row.value.to_vec());
                table.scan_segments(0, u64::MAX, each).expect("sound");
                rows
            };
            if table.stored_checkpoint().is_none() {
                assert!(number >= whole, "{name} was whole");
                restore(&mut table);
                while !table.end_restore().expect("sound") {
                    std::thread::yield_now();
                }
            }
            assert_eq!(table.stored_checkpoint(), Some(CHECKPOINT), "{name}");
            assert!(read(&mut table) == expected, "{name}");
            whole = whole.max(number + 1);
        }
    }
}
