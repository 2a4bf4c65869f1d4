#![no_main]

use poolscope_fuzz::properties::look;

libfuzzer_sys::fuzz_target!(|data: &[u8]| look(data, false));
