#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orlop::fuzzed::mount_options(data));
