//! The service as a process: how it starts and ends.

use crate::support::server::{Instance, stockhold};

#[tokio::test]
async fn a_service_that_is_told_to_stop_ends_well() {
    let mut service = Instance::embedded().start();
    service.terminate();
    let status = service.wait_exit();
    assert!(status.success(), "{status}; its log:\n{}", service.log());
}

#[tokio::test]
async fn stock_outlives_a_power_cut() {
    let instance = Instance::embedded().env("RUST_LOG", "debug");
    let before = instance.start();
    let set = stockhold().args(["stock", "set", "sku-a=7", "--addr", &before.address().to_string()]).status();
    assert!(set.expect("stockhold runs").success());
    before.kill9();

    let after = instance.start();
    let got = stockhold().args(["stock", "get", "sku-a", "--json", "--addr", &after.address().to_string()]).output();
    let got = String::from_utf8(got.expect("stockhold runs").stdout).expect("text");
    assert!(got.contains(r#""onHand": "7""#), "{got}");
}
