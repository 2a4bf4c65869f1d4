#![no_main]

use poolscope_testkit::fuzzing::facts;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    facts::check(data);
});
