//! Fuzzes the entry `file_metadata_snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("file_metadata_snapshot", data));
