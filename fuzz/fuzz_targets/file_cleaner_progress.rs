//! Fuzzes the entry `file_cleaner_progress`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("file_cleaner_progress", data));
