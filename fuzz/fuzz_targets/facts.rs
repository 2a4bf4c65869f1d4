#![no_main]

use poolscope_fuzz::fuzz::facts;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    facts::check(data);
});
