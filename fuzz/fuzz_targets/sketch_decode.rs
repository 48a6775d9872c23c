//! Any cells: see `fuzzed`.
#![no_main]

#[path = "../../crates/merkle/tests/support/fuzzed.rs"]
#[allow(dead_code)]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::sketch_decode(data));
