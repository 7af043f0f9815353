//! Fuzzes the entry `file_transaction_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("file_transaction_index", data));
