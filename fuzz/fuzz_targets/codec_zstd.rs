//! Fuzzes the entry `codec_zstd`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("codec_zstd", data));
