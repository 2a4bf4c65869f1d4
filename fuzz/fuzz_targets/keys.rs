#![no_main]

use poolscope_testkit::fuzzing::keys;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    keys::check(data);
});
