//! What becomes of the stock when supply changes: pure. All items of a request or none; never blocked by a floor, for a
//! count or a write-off states what is true.

use std::collections::BTreeMap;

use super::decide::next_version;
use crate::domain::refusal::VersionMismatch;
use crate::domain::stock::UNITS_MAX;
use crate::domain::{Adjustment, FieldViolation, Fingerprint, Refusal, Sku, StockRow, StockTarget};

/// A change of supply as it was asked for.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    Set(&'a [StockTarget]),
    Adjust { reason: &'a str, adjustments: &'a [Adjustment] },
}

/// One item of a change that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// What is counted.
    pub sku: Sku,
    /// Units added or, if negative, removed.
    pub delta: i64,
    /// The row after the change.
    pub row: StockRow,
}

impl Change<'_> {
    pub(super) fn skus(&self) -> Vec<&Sku> {
        match self {
            Change::Set(targets) => targets.iter().map(|target| &target.sku).collect(),
            Change::Adjust { adjustments, .. } => adjustments.iter().map(|change| &change.sku).collect(),
        }
    }

    /// What the books say about why.
    pub(super) fn reason(&self) -> &str {
        match self {
            Change::Set(_) => "set",
            Change::Adjust { reason, .. } => reason,
        }
    }

    /// Tells whether two requests ask for the same, in whatever order. An expected version is a condition and no part
    /// of it: whoever reads again after a lost answer and repeats shall be told that it is done.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let (head, mut items): (_, Vec<String>) = match self {
            Change::Set(targets) => {
                let item = |t: &StockTarget| format!("{}\t{}\t{}\t{}\n", t.sku, t.on_hand, t.floor, t.retired);
                ("set\n".into(), targets.iter().map(item).collect())
            }
            // The length keeps a reason that looks like an item from being read as one.
            Change::Adjust { reason, adjustments } => (
                format!("adjust\t{}\t{reason}\n", reason.len()),
                adjustments.iter().map(|change| format!("{}\t{}\n", change.sku, change.delta)).collect(),
            ),
        };
        items.sort_unstable();
        Fingerprint::of_text(&(head + &items.concat()))
    }

    /// Decides all items, or says why none.
    pub(super) fn decide(&self, rows: &BTreeMap<Sku, StockRow>, now_micros: i64) -> Result<Vec<Moved>, Refusal> {
        match self {
            Change::Set(targets) => set(rows, now_micros, targets),
            Change::Adjust { adjustments, .. } => adjust(rows, now_micros, adjustments),
        }
    }
}

fn set(rows: &BTreeMap<Sku, StockRow>, now_micros: i64, targets: &[StockTarget]) -> Result<Vec<Moved>, Refusal> {
    let version = |target: &StockTarget| rows.get(&target.sku).map_or(0, |row| row.version);
    let mismatches: Vec<_> = targets
        .iter()
        .filter_map(|target| {
            let (expected, actual) = (target.expected_version?, version(target));
            (expected != actual).then(|| VersionMismatch { sku: target.sku.clone(), expected, actual })
        })
        .collect();
    if !mismatches.is_empty() {
        return Err(Refusal::VersionMismatch(mismatches));
    }
    let moved = |target: &StockTarget| Moved {
        sku: target.sku.clone(),
        delta: target.on_hand - rows.get(&target.sku).map_or(0, |row| row.on_hand),
        row: StockRow {
            version: next_version(version(target), now_micros),
            on_hand: target.on_hand,
            floor: target.floor,
            retired: target.retired,
        },
    };
    Ok(targets.iter().map(moved).collect())
}

fn adjust(rows: &BTreeMap<Sku, StockRow>, now_micros: i64, adjustments: &[Adjustment]) -> Result<Vec<Moved>, Refusal> {
    let (mut unknown, mut beyond, mut moved) = (Vec::new(), Vec::new(), Vec::new());
    for (index, Adjustment { sku, delta }) in adjustments.iter().enumerate() {
        let Some(row) = rows.get(sku) else {
            unknown.push(sku.clone());
            continue;
        };
        match row.on_hand.checked_add(*delta).filter(|on_hand| (-UNITS_MAX..=UNITS_MAX).contains(on_hand)) {
            Some(on_hand) => moved.push(Moved {
                sku: sku.clone(),
                delta: *delta,
                row: StockRow { version: next_version(row.version, now_micros), on_hand, ..*row },
            }),
            None => beyond.push(FieldViolation {
                field: format!("changes[{index}].delta"),
                description: format!("would take on_hand beyond ±{UNITS_MAX}, it is {}", row.on_hand),
            }),
        }
    }
    if !unknown.is_empty() {
        return Err(Refusal::UnknownSkus(unknown));
    }
    if !beyond.is_empty() {
        return Err(Refusal::InvalidFields(beyond));
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
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
        let moved =
            Change::Set(&[target("a", 3, Some(7)), target("new", 4, Some(0))]).decide(&rows(), 100).expect("set");
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
}
