//! Fuzzes the entry `file_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("file_log", data));
