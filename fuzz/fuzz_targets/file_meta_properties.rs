//! Fuzzes the entry `file_meta_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("file_meta_properties", data));
