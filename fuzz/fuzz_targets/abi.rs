#![no_main]

use poolscope_fuzz::ffi::sequences;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sequences::run(data));
