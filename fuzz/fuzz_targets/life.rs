#![no_main]

use poolscope_fuzz::simulation::lead;

libfuzzer_sys::fuzz_target!(|data: &[u8]| lead(data));
