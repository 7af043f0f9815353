//! Fuzzes the entry `file_leader_epochs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("file_leader_epochs", data));
