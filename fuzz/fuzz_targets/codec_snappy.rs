//! Fuzzes the entry `codec_snappy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anabranch_fuzz::run("codec_snappy", data));
