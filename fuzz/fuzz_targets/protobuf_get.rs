#![no_main]

use poolscope_fuzz::fuzz::{protobuf, world::Form};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    protobuf::check(Form::Get, data);
});
