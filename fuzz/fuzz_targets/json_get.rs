#![no_main]

use poolscope_fuzz::fuzz::{json, world::Form};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    json::check(Form::Get, data);
});
