#![no_main]

use poolscope_fuzz::fuzz::request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    request::check(data);
});
