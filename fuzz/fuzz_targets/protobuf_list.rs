#![no_main]

use poolscope_testkit::fuzzing::{protobuf, world::Form};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    protobuf::check(Form::List, data);
});
