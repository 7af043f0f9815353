//! Fuzzes the entry `file_log_after_crash`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("file_log_after_crash", data));
