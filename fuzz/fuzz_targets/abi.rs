#![no_main]

use poolscope_fuzz::abi::sequences;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sequences::run(data));
