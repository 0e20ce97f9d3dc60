//! What a command prints when it is done.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

use super::failure::Failure;

/// An answer, for people and for programs.
pub(super) struct Output {
    /// For people.
    pub(super) text: String,
    /// 0, unless the answer itself is bad news.
    pub(super) exit_code: ExitCode,
    json: Json,
}

/// An answer for programs.
enum Json {
    /// A message of the contract: its name within the package, and its bytes.
    Message(&'static str, Vec<u8>),
    /// Any other.
    Value(Value),
}

impl Output {
    /// An answer of the contract. `name` is the name of its message within the package.
    pub(super) fn new(name: &'static str, message: &impl Message, text: String) -> Self {
        Self { text, exit_code: ExitCode::SUCCESS, json: Json::Message(name, message.encode_to_vec()) }
    }

    /// An answer that is no message of the contract.
    pub(super) fn of_json(json: Value, text: String) -> Self {
        Self { text, exit_code: ExitCode::SUCCESS, json: Json::Value(json) }
    }

    /// The same answer with another exit code.
    pub(super) fn exit_code(self, exit_code: ExitCode) -> Self {
        Self { exit_code, ..self }
    }

    /// The canonical JSON form of the message. Fields that hold their default are printed too, so that a script finds
    /// every field.
    pub(super) fn into_json(self) -> Result<String, Failure> {
        match self.json {
            Json::Message(name, bytes) => to_json(name, &bytes)
                .map_err(|error| Failure::local(format!("{name} cannot be printed as JSON: {error}"))),
            Json::Value(value) => Ok(format!("{value:#}")),
        }
    }
}

/// Prints a text and ends with `exit_code`, unless it cannot be printed.
pub(super) fn print(text: &str, exit_code: ExitCode) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => exit_code,
        // The reader of our output, such as `head`, has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit_code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: cannot print the answer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn to_json(name: &str, bytes: &[u8]) -> Result<String, Box<dyn std::error::Error>> {
    let descriptor = DescriptorPool::decode(crate::grpc::DESCRIPTORS)?
        .get_message_by_name(&format!("stockhold.v1.{name}"))
        .ok_or("the contract has no such message")?;
    let message = DynamicMessage::decode(descriptor, bytes)?;
    let mut json = Vec::new();
    let options = SerializeOptions::new().skip_default_fields(false);
    message.serialize_with_options(&mut serde_json::Serializer::pretty(&mut json), &options)?;
    Ok(String::from_utf8(json)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::v1;

    #[test]
    fn json_follows_the_contract_and_names_every_field() {
        let answer = v1::ReserveResponse {
            reservation: Some(v1::Reservation {
                location: "default".into(),
                reservation_id: "order-1".into(),
                lines: vec![v1::Line { sku: "sku-a".into(), quantity: 2 }],
                state: v1::ReservationState::Held.into(),
                create_time: None,
                expire_time: Some(prost_types::Timestamp { seconds: 1_795_363_200, nanos: 500_000_000 }),
                end_time: None,
            }),
        };
        let json = Output::new("ReserveResponse", &answer, String::new())
            .into_json()
            .expect("it is a message of the contract");
        let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        let expected = serde_json::json!({"reservation": {
            "location": "default",
            "reservationId": "order-1",
            "lines": [{"sku": "sku-a", "quantity": 2}],
            "state": "RESERVATION_STATE_HELD",
            "expireTime": "2026-11-22T16:00:00.500Z",
        }});
        assert_eq!(json, expected);

        let answer = v1::GetStockResponse { items: vec![v1::StockItem { on_hand: 7, ..Default::default() }] };
        let json = Output::new("GetStockResponse", &answer, String::new())
            .into_json()
            .expect("it is a message of the contract");
        let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!((&json["items"][0]["onHand"], &json["items"][0]["held"]), (&"7".into(), &"0".into()));
    }
}
