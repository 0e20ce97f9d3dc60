//! Why lines cannot be held.

use super::call::Call;
use crate::domain::{Line, Lines, Shortage, Sku};
use crate::holds::Reply;

impl Call<'_> {
    /// None if these lines can be held now, else the refusal. Overdue holds are reclaimed only when they are in the
    /// way.
    pub(super) fn refusal_to_hold(&mut self, lines: &Lines) -> Option<Reply> {
        self.worked += lines.len();
        let registers = &self.holds.registers;
        let missing = sorted(lines.skus().filter(|sku| !registers.contains_key(*sku)));
        if !missing.is_empty() {
            return Some(Reply::Missing(missing));
        }
        let retired = sorted(lines.skus().filter(|sku| registers.get(*sku).is_some_and(|row| row.retired)));
        if !retired.is_empty() {
            return Some(Reply::Retired(retired));
        }
        let mut short = self.shortages(lines);
        if !short.is_empty() && self.reclaim() > 0 {
            short = self.shortages(lines);
        }
        match short.is_empty() {
            true => None,
            false if self.overdue_remain => Some(Reply::More),
            false => Some(Reply::Short(short)),
        }
    }

    fn shortages(&self, lines: &Lines) -> Vec<Shortage> {
        let shortage = |line: &Line| {
            let held = self.held(&line.sku).units;
            let available = self.holds.registers.get(&line.sku).map_or(0, |row| row.available(held));
            let requested = i64::from(line.quantity);
            (available < requested).then(|| Shortage { sku: line.sku.clone(), requested, available, held })
        };
        lines.iter().filter_map(shortage).collect()
    }
}

pub(super) fn sorted<'a>(skus: impl Iterator<Item = &'a Sku>) -> Vec<Sku> {
    let mut skus: Vec<_> = skus.cloned().collect();
    skus.sort();
    skus.dedup();
    skus
}
