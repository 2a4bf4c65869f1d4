#![no_main]

use poolscope_testkit::fuzzing::{json, world::Form};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    json::check(Form::Get, data);
});
