#![no_main]

use poolscope_testkit::simulation::run::check_bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check_bytes(data));
