//! Whatever a caller sends, checking its fields does not panic, and what is let through is within its bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stockhold::grpc::fuzzing::check;

fuzz_target!(|bytes: &[u8]| {
    if let Some((kind, message)) = bytes.split_first() {
        check(*kind, message);
    }
});
