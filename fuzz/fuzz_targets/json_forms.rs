#![no_main]

use poolscope_testkit::fuzzing::forms;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    forms::check(data);
});
