use super::*;

fn sku(text: &str) -> Sku {
    Sku::parse(text).expect(text)
}

fn target(name: &str, on_hand: i64, expected_version: Option<i64>) -> StockTarget {
    StockTarget { sku: sku(name), on_hand, floor: 0, retired: false, expected_version }
}

fn adjustment(name: &str, delta: i64) -> Adjustment {
    Adjustment { sku: sku(name), delta }
}

/// One row: `a` with version 7 and 5 units above a floor of 2.
fn rows() -> BTreeMap<Sku, StockRow> {
    [(sku("a"), StockRow { version: 7, on_hand: 5, floor: 2, retired: true })].into()
}

#[test]
fn a_count_states_everything_and_moves_the_difference() {
    let moved = Change::Set(&[target("a", 3, Some(7)), target("new", 4, Some(0))]).decide(&rows(), 100).expect("set");
    let row = |on_hand| StockRow { version: 100, on_hand, floor: 0, retired: false };
    assert_eq!(
        moved,
        [Moved { sku: sku("a"), delta: -2, row: row(3) }, Moved { sku: sku("new"), delta: 4, row: row(4) }]
    );
}

#[test]
fn every_version_that_differs_is_named_in_the_order_asked() {
    let targets = [target("new", 1, Some(9)), target("a", 1, None), target("a", 1, Some(6))];
    let mismatch = |name, expected, actual| VersionMismatch { sku: sku(name), expected, actual };
    let expected = Refusal::VersionMismatch(vec![mismatch("new", 9, 0), mismatch("a", 6, 7)]);
    assert_eq!(Change::Set(&targets).decide(&rows(), 100), Err(expected));
}

#[test]
fn an_adjustment_ignores_the_floor_but_not_the_bounds() {
    let adjust = |adjustments: &[Adjustment]| Change::Adjust { reason: "r", adjustments }.decide(&rows(), 100);
    let moved = adjust(&[adjustment("a", -9)]).expect("adjusts");
    assert_eq!(moved[0].row, StockRow { version: 100, on_hand: -4, floor: 2, retired: true });
    assert_eq!(
        adjust(&[adjustment("y", 1), adjustment("a", UNITS_MAX), adjustment("x", 1)]),
        Err(Refusal::UnknownSkus(vec![sku("y"), sku("x")]))
    );
    for delta in [UNITS_MAX, i64::MAX, -UNITS_MAX - 6] {
        let Err(Refusal::InvalidFields(fields)) = adjust(&[adjustment("a", 1), adjustment("a", delta)]) else {
            panic!("{delta} was not refused")
        };
        assert_eq!(fields[0].field, "changes[1].delta");
    }
}

#[test]
fn the_same_content_has_the_same_fingerprint_in_any_order() {
    let adjust = |reason, adjustments: &[Adjustment]| Change::Adjust { reason, adjustments }.fingerprint();
    let (a, b) = (adjustment("a", 1), adjustment("b", 2));
    let both = adjust("r", &[a.clone(), b.clone()]);
    assert_eq!(both, adjust("r", &[b.clone(), a.clone()]));
    for other in [adjust("s", &[a.clone(), b]), adjust("r", std::slice::from_ref(&a)), adjust("r\na\t1", &[])] {
        assert_ne!(both, other);
    }
    let set = |target: StockTarget| Change::Set(&[target]).fingerprint();
    assert_eq!(set(target("a", 1, Some(3))), set(target("a", 1, None)));
    assert_ne!(set(target("a", 1, None)), set(target("a", 2, None)));
}
