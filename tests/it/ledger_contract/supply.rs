//! Counts, receipts and write-offs.

use stockhold::domain::refusal::VersionMismatch;
use stockhold::domain::stock::UNITS_MAX;

use super::*;

cases! { in memory too:
    a_count_is_done_once
    an_adjustment_is_done_once
    the_request_id_is_looked_at_before_the_version
    every_version_that_differs_is_named
    an_adjustment_is_refused_as_a_whole
    a_write_off_may_go_below_the_floor
    retiring_keeps_the_stock
}

async fn a_count_is_done_once(f: &Fixture) {
    let set = async |targets: &[StockTarget]| f.ledger.set_stock(&here(), &request("q"), targets).await.unwrap();
    let targets = [target("b", 5), target("a", 7)];
    assert_eq!(set(&targets).await, Ok(()));
    f.settle("r", confirm(&[("a", 1)])).await;
    let [b, a] = targets.clone();
    assert_eq!(set(&[a.clone(), b]).await, Ok(()));
    assert_eq!(f.on_hand("a").await, 6);
    for other in [vec![a.clone()], vec![target("a", 8), target("b", 5)]] {
        assert_eq!(set(&other).await, Err(Refusal::RequestIdReused(request("q"))));
    }
    assert_eq!((f.on_hand("a").await, f.on_hand("b").await), (6, 5));
    f.ledger.set_stock(&here(), &request("Q"), &[a]).await.unwrap().unwrap();
    assert_eq!(f.on_hand("a").await, 7);
}

async fn an_adjustment_is_done_once(f: &Fixture) {
    f.stock(&[("a", 5), ("b", 5)]).await;
    let adjust = async |reason: &str, changes: &[Adjustment]| {
        f.ledger.adjust_stock(&here(), &request("q"), reason, changes).await.unwrap()
    };
    let changes = [adjustment("b", -2), adjustment("a", 3)];
    assert_eq!(adjust("receipt", &changes).await, Ok(()));
    assert_eq!(adjust("receipt", &changes).await, Ok(()));
    for (reason, other) in
        [("return", &changes[..]), ("receipt", &changes[..1]), ("receipt", &[adjustment("unknown", 1)])]
    {
        assert_eq!(adjust(reason, other).await, Err(Refusal::RequestIdReused(request("q"))));
    }
    assert_eq!((f.on_hand("a").await, f.on_hand("b").await), (8, 3));
    let set = f.ledger.set_stock(&here(), &request("q"), &[target("a", 1)]).await.unwrap();
    assert_eq!(set, Err(Refusal::RequestIdReused(request("q"))));
}

async fn the_request_id_is_looked_at_before_the_version(f: &Fixture) {
    let new = StockTarget { expected_version: Some(0), ..target("a", 5) };
    let set = async |targets: &[StockTarget]| f.ledger.set_stock(&here(), &request("q"), targets).await.unwrap();
    assert_eq!(set(std::slice::from_ref(&new)).await, Ok(()));
    let row = f.row("a").await;
    assert_eq!(set(std::slice::from_ref(&new)).await, Ok(()));
    assert_eq!(
        set(&[StockTarget { expected_version: Some(0), ..target("a", 6) }]).await,
        Err(Refusal::RequestIdReused(request("q")))
    );
    assert_eq!(f.row("a").await, row);
}

async fn every_version_that_differs_is_named(f: &Fixture) {
    f.stock(&[("a", 5), ("b", 5)]).await;
    let (a, b) = (f.row("a").await.version, f.row("b").await.version);
    let expecting = |name, version| StockTarget { expected_version: Some(version), ..target(name, 1) };
    let targets = [expecting("new", 3), expecting("b", 1), expecting("a", a)];
    let mismatch = |name, expected, actual| VersionMismatch { sku: sku(name), expected, actual };
    assert_eq!(
        f.ledger.set_stock(&here(), &request("q"), &targets).await.unwrap(),
        Err(Refusal::VersionMismatch(vec![mismatch("new", 3, 0), mismatch("b", 1, b)]))
    );
    assert_eq!(f.on_hand("a").await, 5);
    // What was refused left no trace of its id.
    let targets = [expecting("new", 0), expecting("b", b), expecting("a", a)];
    assert_eq!(f.ledger.set_stock(&here(), &request("q"), &targets).await.unwrap(), Ok(()));
}

async fn an_adjustment_is_refused_as_a_whole(f: &Fixture) {
    f.stock(&[("a", UNITS_MAX), ("b", 5)]).await;
    let adjust =
        async |changes: &[Adjustment]| f.ledger.adjust_stock(&here(), &request("q"), "r", changes).await.unwrap();
    let unknown = adjust(&[adjustment("y", 1), adjustment("b", 1), adjustment("x", 1)]).await;
    assert_eq!(unknown, Err(Refusal::UnknownSkus(vec![sku("y"), sku("x")])));
    let Err(Refusal::InvalidFields(fields)) = adjust(&[adjustment("b", 1), adjustment("a", 1)]).await else {
        panic!("not refused")
    };
    assert_eq!(fields[0].field, "changes[1].delta");
    assert_eq!((f.on_hand("a").await, f.on_hand("b").await), (UNITS_MAX, 5));
}

async fn a_write_off_may_go_below_the_floor(f: &Fixture) {
    f.ledger.set_stock(&here(), &request("q"), &[StockTarget { floor: 3, ..target("a", 5) }]).await.unwrap().unwrap();
    f.ledger.adjust_stock(&here(), &request("w"), "write-off", &[adjustment("a", -9)]).await.unwrap().unwrap();
    assert_eq!((f.on_hand("a").await, f.row("a").await.floor), (-4, 3));
    let verdict = f.settle("r", confirm(&[("a", 1)])).await;
    assert_eq!((verdict.settlement.outcome, verdict.shortages[0].available), (Outcome::Rejected, 0));
    f.ledger.adjust_stock(&here(), &request("x"), "receipt", &[adjustment("a", 8)]).await.unwrap().unwrap();
    assert_eq!(f.settle("s", confirm(&[("a", 1)])).await.settlement.outcome, Outcome::Confirmed);
}

async fn retiring_keeps_the_stock(f: &Fixture) {
    f.ledger
        .set_stock(&here(), &request("q"), &[StockTarget { retired: true, ..target("a", 5) }])
        .await
        .unwrap()
        .unwrap();
    assert!(f.row("a").await.retired);
    assert_eq!(f.settle("r", confirm(&[("a", 1)])).await.settlement.outcome, Outcome::Confirmed);
    assert_eq!((f.on_hand("a").await, f.row("a").await.retired), (4, true));
}
