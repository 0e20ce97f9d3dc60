//! What becomes of the stock when supply changes: pure. A request changes all of its items or none. No floor blocks it,
//! because a count or a write-off states what is true.

use std::collections::BTreeMap;

use super::database::Moved;
use crate::domain::refusal::VersionMismatch;
use crate::domain::stock::{UNITS_MAX, next_version};
use crate::domain::{Adjustment, FieldViolation, Fingerprint, Refusal, Sku, StockRow, StockTarget};

/// A change of supply as it was asked for.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    Set(&'a [StockTarget]),
    Adjust { reason: &'a str, adjustments: &'a [Adjustment] },
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

    /// Equal for two requests that ask for the same, in any order. An expected version is a condition and no part of
    /// it: a caller may lose an answer, read the new version and repeat, and must then be told that the change is done.
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
mod tests;
