//! Fuzzes the entry `record_batch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("record_batch", data));
