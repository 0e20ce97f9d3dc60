//! Clients in other languages: a team that has only `proto/`, or only a tool that uses reflection, can use the service.

use std::io::Write;
use std::process::{Command, Output};

use crate::support::required;
use crate::support::server::{Instance, TestService};

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn python_client_from_generated_stubs() {
    let service = Instance::embedded().start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/python/session.py");
    let output =
        Command::new(required("STOCKHOLD_TEST_PYTHON")).arg(script).arg(service.address().to_string()).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{}", text(&output));
}

/// Runs grpcurl with `data` as the JSON of the request.
fn grpcurl(program: &str, service: &TestService, data: Option<&str>, what: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(["-plaintext", "-max-time", "10"]);
    if let Some(data) = data {
        command.args(["-d", data]);
    }
    command.arg(service.address().to_string()).args(what).output().expect("grpcurl starts")
}

#[tokio::test]
async fn grpcurl_through_reflection() {
    let program = required("STOCKHOLD_TEST_GRPCURL");
    if program == "none" {
        // Written past the capture of the test's output, so that it is not overlooked.
        let _ = writeln!(
            std::io::stderr(),
            "NOT RUN: grpcurl_through_reflection: there is no Go here to build grpcurl with"
        );
        return;
    }
    let service = Instance::embedded().start();
    let set = r#"{"request_id": "count-1", "items": [{"sku": "sku-a", "on_hand": 3}]}"#;
    let reserve = r#"{"reservation_id": "order-1", "lines": [{"sku": "sku-a", "quantity": 2}], "ttl": "60s"}"#;
    let too_much = r#"{"reservation_id": "order-2", "lines": [{"sku": "sku-a", "quantity": 2}]}"#;
    // grpcurl's exit code is 64 plus the status code.
    const FAILED_PRECONDITION: i32 = 64 + 9;
    for (data, what, exit_code, expected) in [
        (
            None,
            &["list"] as &[_],
            0,
            &["stockhold.v1.ReservationService", "stockhold.v1.StockService", "grpc.health.v1.Health"] as &[_],
        ),
        (None, &["describe", "stockhold.v1.Line"], 0, &["uint32 quantity = 2;"]),
        (None, &["describe", "stockhold.v1.ReservationService"], 0, &["rpc Confirm ( .stockhold.v1.ConfirmRequest )"]),
        (None, &["grpc.health.v1.Health/Check"], 0, &["SERVING"]),
        (Some(r#"{"service": "stockhold.v1.StockService"}"#), &["grpc.health.v1.Health/Check"], 0, &["SERVING"]),
        (Some(set), &["stockhold.v1.StockService/SetStock"], 0, &[r#""onHand": "3""#]),
        (Some(reserve), &["stockhold.v1.ReservationService/Reserve"], 0, &["RESERVATION_STATE_HELD", "expireTime"]),
        (
            Some(too_much),
            &["stockhold.v1.ReservationService/Reserve"],
            FAILED_PRECONDITION,
            &[
                "google.rpc.ErrorInfo",
                "INSUFFICIENT_STOCK",
                "google.rpc.PreconditionFailure",
                "requested 2, available 1, held 2",
            ],
        ),
    ] {
        let output = grpcurl(&program, &service, data, what);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(exit_code), "{what:?}\n{said}");
        for text in expected {
            assert!(said.contains(text), "{what:?}: {text:?} is not in\n{said}");
        }
    }
}
