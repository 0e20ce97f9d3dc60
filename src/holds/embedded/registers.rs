//! The copies of the ledger's rows and the held counters: pushing, repairing and reading them.

use super::call::Call;
use super::refusal::sorted;
use crate::domain::{Sku, StockItem, StockRow};
use crate::holds::{Held, Reply, Rows};

impl Call<'_> {
    pub(super) fn push(&mut self, rows: Rows) -> usize {
        self.worked += rows.len();
        let registers = &mut self.holds.registers;
        let mut changed = 0;
        for (sku, row) in rows {
            let newer = match row {
                Some(row) if registers.get(&sku).is_none_or(|register| register.version < row.version) => {
                    registers.insert(sku, row);
                    true
                }
                Some(_) => false,
                None => registers.remove(&sku).is_some(),
            };
            changed += usize::from(newer);
        }
        changed
    }

    pub(super) fn replace_register(&mut self, sku: Sku, judged: Option<StockRow>, row: Option<StockRow>) -> Reply {
        if self.holds.registers.get(&sku).copied() != judged {
            return Reply::Pushed(0);
        }
        match row {
            Some(row) => self.holds.registers.insert(sku, row),
            None => self.holds.registers.remove(&sku),
        };
        Reply::Pushed(1)
    }

    pub(super) fn replace_held(&mut self, sku: Sku, judged: Held, units: i64) -> Reply {
        if self.held(&sku) != judged {
            return Reply::Pushed(0);
        }
        self.holds.held.insert(sku, Held { units, changes: judged.changes + 1 });
        Reply::Pushed(1)
    }

    pub(super) fn stock(&mut self, skus: Vec<Sku>) -> Reply {
        self.worked += skus.len();
        self.reclaim();
        let missing = sorted(skus.iter().filter(|sku| !self.holds.registers.contains_key(*sku)));
        if !missing.is_empty() {
            return Reply::Missing(missing);
        }
        if self.overdue_remain {
            return Reply::More;
        }
        let item = |sku: Sku| {
            let row = *self.holds.registers.get(&sku)?;
            Some(StockItem { held: self.held(&sku).units, sku, row })
        };
        Reply::Stock(skus.into_iter().filter_map(item).collect())
    }

    pub(super) fn counters(&mut self, skus: &[Sku]) -> Reply {
        self.worked += skus.len();
        Reply::Counters(skus.iter().map(|sku| (self.holds.registers.get(sku).copied(), self.held(sku))).collect())
    }

    pub(super) fn skus(&self) -> Reply {
        Reply::Skus(sorted(self.holds.registers.keys().chain(self.holds.held.keys())), String::new())
    }
}
