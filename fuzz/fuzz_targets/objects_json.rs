#![no_main]

use poolscope_testkit::fuzzing::objects::check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data, false));
