#![no_main]

use poolscope_fuzz::fuzz::services;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    services::check(data);
});
