#![no_main]

use poolscope_testkit::fuzzing::request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    request::check(data);
});
