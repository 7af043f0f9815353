//! Fuzzes the entry `codec_lz4`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("codec_lz4", data));
