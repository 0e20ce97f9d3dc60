//! Checking the fields of a request does not panic, whatever a caller sends, and accepted fields are within their
//! bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stockhold::grpc::fuzzing::check;

fuzz_target!(|bytes: &[u8]| {
    if let Some((kind, message)) = bytes.split_first() {
        check(*kind, message);
    }
});
