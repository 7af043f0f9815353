//! Fuzzing: the entries, for the targets in `fuzz_targets`. A workspace of its own, so that no other build sees it.

pub mod entries;
mod requests;
mod world;

/// Runs the entry of this name.
pub fn run(name: &str, data: &[u8]) {
    let entry = entries::ENTRIES.iter().find(|entry| entry.name == name);
    (entry.expect("a target is named after its entry").run)(data);
}
