//! Fuzzes the entry `file_partition_metadata`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("file_partition_metadata", data));
