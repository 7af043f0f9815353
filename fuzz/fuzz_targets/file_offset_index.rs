//! Fuzzes the entry `file_offset_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("file_offset_index", data));
