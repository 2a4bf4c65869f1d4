#![no_main]

use poolscope_testkit::fuzzing::services;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    services::check(data);
});
