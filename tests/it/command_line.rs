//! The command line as a client, the real binary against a real service.

use crate::support::server::{Instance, stockhold};

/// A command, its exit code, and what it must print: on stdout if it was done, else on stderr.
type Step = (&'static str, i32, &'static [&'static str]);

#[tokio::test]
async fn a_session_on_the_command_line() {
    let service = Instance::embedded().start();
    let session: &[Step] = &[
        ("stock list", 0, &["no stock"]),
        ("stock set sku-a=10 sku-b=5", 0, &["AVAILABLE", "sku-a       10", "sku-b        5"]),
        ("stock adjust sku-a=+2 sku-b=-1 --reason count", 0, &["sku-a       12", "sku-b        4"]),
        ("stock set sku-a=1 --expected-version 0", 1, &["VERSION_MISMATCH: sku-a: ", "request id "]),
        ("reserve order-1 sku-a=2 sku-b=1 --ttl 10m", 0, &["order-1 in default: HELD, expires in ", "sku-a      2"]),
        (
            "reserve order-2 sku-a=11",
            1,
            &["INSUFFICIENT_STOCK: sku-a: requested 11, available 10, held 2", "request id "],
        ),
        ("reserve order-2 sku-a=11 sku-b=4", 1, &["sku-a: requested 11", "sku-b: requested 4, available 3, held 1"]),
        ("reserve order-2 sku-x=1", 1, &["UNKNOWN_SKU: sku-x"]),
        ("reserve order-2 sku-a=0", 1, &["INVALID_FIELD: lines[0].quantity: "]),
        ("reservations --sku sku-b", 0, &["order-1", "sku-a=2 sku-b=1", "expires in "]),
        ("reservations --sku sku-x", 0, &["no live reservations"]),
        ("extend order-1 --by 5m", 0, &["HELD, expires in 14m "]),
        ("show order-1", 0, &["HELD, expires in 14m "]),
        ("show order-9", 1, &["RESERVATION_NOT_FOUND: "]),
        ("confirm order-1 sku-a=1", 0, &["CONFIRMED, since ", "sku-a      1"]),
        ("cancel order-1", 1, &["RESERVATION_CONFIRMED: "]),
        ("cancel order-3", 0, &["order-3 in default: CANCELLED"]),
        ("reserve order-3 sku-a=1", 1, &["RESERVATION_CANCELLED: "]),
        ("show order-1 --json", 0, &[r#""state": "RESERVATION_STATE_CONFIRMED""#, r#""quantity": 1"#]),
        ("stock get sku-a sku-b --json", 0, &[r#""onHand": "11""#, r#""held": "0""#]),
        ("stock get sku-a --location elsewhere", 1, &["UNKNOWN_SKU: sku-a"]),
        ("reconcile", 0, &["compared: 2 skus", "differences: 0"]),
        ("reserve order-4", 2, &["Usage: stockhold reserve"]),
    ];
    for &(line, exit_code, expected) in session {
        let output = stockhold()
            .args(line.split_whitespace())
            .env("STOCKHOLD_ADDR", service.address().to_string())
            .output()
            .expect("stockhold runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(exit_code), "{line}\n{stdout}{stderr}");
        let (said, silent) = if exit_code == 0 { (stdout, stderr) } else { (stderr, stdout) };
        assert_eq!(silent, "", "{line}");
        for text in expected {
            assert!(said.contains(text), "{line}: {text:?} is not in\n{said}");
        }
    }
}

#[test]
fn a_service_that_is_not_there_is_named() {
    // Bound and closed again: a port at which nobody listens.
    let address =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").to_string();
    let output = stockhold().args(["show", "order-1", "--addr", &address]).output().expect("stockhold runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&format!("error: no stockhold service at http://{address}")), "{stderr}");
    assert!(stderr.contains("stockhold serve"), "{stderr}");
}
