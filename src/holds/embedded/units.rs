//! What is held of each sku.

use super::call::Call;
use crate::domain::{Lines, Sku};
use crate::holds::Held;

impl Call<'_> {
    pub(super) fn held(&self, sku: &Sku) -> Held {
        self.holds.held.get(sku).copied().unwrap_or_default()
    }

    pub(super) fn hold(&mut self, lines: &Lines, sign: i64) {
        self.worked += lines.len();
        for line in lines.iter() {
            let held = self.holds.held.entry(line.sku.clone()).or_default();
            let units = held.units + sign * i64::from(line.quantity);
            debug_assert!(units >= 0, "{} was released twice", line.sku);
            held.units = units.max(0);
            held.changes += 1;
        }
    }
}

/// What is held beyond the part that is confirmed.
pub(super) fn rest_of(whole: &Lines, part: &Lines) -> Lines {
    let rest = whole.iter().map(|line| (line.sku.clone(), line.quantity - part.quantity(&line.sku)));
    rest.filter(|(_, quantity)| *quantity > 0).collect()
}
