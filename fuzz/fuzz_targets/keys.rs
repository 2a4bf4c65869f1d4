#![no_main]

use poolscope_fuzz::fuzz::keys;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    keys::check(data);
});
