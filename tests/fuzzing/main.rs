//! What the fuzz targets run, without a fuzzer: every entry on its seeds, and on seeded mutations of them.
//!
//! A failing input is told with the command that replays it. `ANABRANCH_SEED` begins elsewhere (`fuzz/run` does so, where
//! there is no fuzzer), `ANABRANCH_FULL=1` goes ten times as far.

#[path = "../../fuzz/src/entries.rs"]
#[allow(unreachable_pub, reason = "a module of another package")]
mod entries;
#[path = "../../fuzz/src/requests.rs"]
#[allow(unreachable_pub, reason = "a module of another package")]
mod requests;
#[path = "../../fuzz/src/world.rs"]
#[allow(unreachable_pub, reason = "a module of another package")]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use anabranch_protocol::sample::Chance;
use entries::{ENTRIES, Entry};

/// Numbers at which lengths and counts go wrong.
const NUMBERS: [u32; 8] = [0, 1, 0x7f, 0x80, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// Changes some bytes of a seed, as fuzzers do.
fn mutate(seed: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + chance.below(4) {
        if bytes.is_empty() {
            bytes.push(chance.next_u64() as u8);
        }
        let at = chance.below(bytes.len());
        match chance.below(8) {
            0 | 1 => bytes[at] ^= 1 << chance.below(8),
            2 => bytes[at] = chance.next_u64() as u8,
            3 => bytes.truncate(at),
            4 => {
                let number = NUMBERS[chance.below(NUMBERS.len())].to_be_bytes();
                let length = number.len().min(bytes.len() - at);
                bytes[at..at + length].copy_from_slice(&number[..length]);
            }
            5 => {
                // A piece again, elsewhere.
                let piece = bytes[at..(at + 1 + chance.below(64)).min(bytes.len())].to_vec();
                let to = chance.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            6 => drop(bytes.drain(at..(at + 1 + chance.below(16)).min(bytes.len()))),
            _ => bytes.extend((0..chance.below(32)).map(|_| chance.next_u64() as u8)),
        }
    }
    bytes
}

fn run(entry: &Entry, input: &[u8], seed: u64, test: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (entry.run)(input))) {
        eprintln!("{} fails on {} bytes: {:02x?}", entry.name, input.len(), &input[..input.len().min(200)]);
        eprintln!(
            "replay: ANABRANCH_SEED={seed} cargo test -p anabranch-tests --test fuzzing -- --exact {test}"
        );
        resume_unwind(panic);
    }
}

/// Runs the entries whose names begin as the test is called.
fn check(test: &str) {
    let first = std::env::var("ANABRANCH_SEED")
        .ok()
        .map(|seed| seed.parse().expect("ANABRANCH_SEED is a number"))
        .unwrap_or(0);
    let factor = if std::env::var_os("ANABRANCH_FULL").is_some() { 10 } else { 1 };
    let entries = ENTRIES.iter().filter(|entry| entry.name.starts_with(test));
    let mut count = 0;
    for entry in entries {
        let seeds = (entry.seeds)();
        assert!(!seeds.is_empty(), "{} has nothing to begin with", entry.name);
        for input in &seeds {
            run(entry, input, first, test);
            for seed in (first..).take(entry.mutations * factor) {
                run(entry, &mutate(input, &mut Chance::new(seed)), seed, test);
            }
        }
        count += 1;
    }
    assert!(count > 0, "no entry is called {test}");
}

#[test]
fn frame() {
    check("frame");
}

#[test]
fn message() {
    check("message");
}

#[test]
fn requests() {
    check("requests");
}

#[test]
fn record_batch() {
    check("record_batch");
}

#[test]
fn codec() {
    check("codec");
}

#[test]
fn file() {
    check("file");
}

/// Every entry has a target, and every target an entry.
#[test]
fn each_entry_has_its_target() {
    let manifest = include_str!("../../fuzz/Cargo.toml");
    let targets: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .collect();
    assert_eq!(targets, ENTRIES.iter().map(|entry| entry.name).collect::<Vec<_>>());
}
