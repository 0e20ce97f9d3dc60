//! Reading an answer of Redis does not panic, whatever the answer is. The first line of an input names a command; each
//! further line is a field of its reply.

#![no_main]

use fred::types::Value;
use libfuzzer_sys::fuzz_target;
use stockhold::domain::{ReservationId, Sku};
use stockhold::holds::redis::read_reply;
use stockhold::holds::{Command, HoldsError};

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let command = command(lines.next().unwrap_or_default());
    let reply = Value::Array(lines.map(field).collect());
    match read_reply(&[command], Value::Array(vec![reply])) {
        Ok(replies) => assert_eq!(replies.len(), 1),
        Err(HoldsError::Corrupt(_)) => {}
        Err(error) => panic!("{error:?} of a reply that was received"),
    }
});

/// One command for each way to read a reply: the reply about one reservation, the reply with a fixed number of fields,
/// and all others.
fn command(name: &str) -> Command {
    match name {
        "get" => Command::Get { id: ReservationId::parse("id").expect("an id") },
        "stock" => Command::Stock { skus: ["a", "b"].map(|sku| Sku::parse(sku).expect("a sku")).into() },
        _ => Command::Sweep,
    }
}

/// A string; or, behind a sign, another type that Redis can answer.
fn field(text: &str) -> Value {
    match text.split_at_checked(1) {
        Some(("#", number)) => number.parse().map_or(Value::Null, Value::Integer),
        Some(("%", number)) => number.parse().map_or(Value::Queued, Value::Double),
        Some(("[", inner)) => Value::Array(vec![inner.into()]),
        Some(("=", bytes)) => Value::Bytes(bytes.as_bytes().to_vec().into()),
        _ => text.into(),
    }
}
