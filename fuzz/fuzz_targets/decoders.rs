//! Any bytes of a peer, a client or a disk: see `fuzzed`.
#![no_main]

#[path = "../../crates/gossip/tests/support/fuzzed.rs"]
#[allow(dead_code)]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::decoders(data));
