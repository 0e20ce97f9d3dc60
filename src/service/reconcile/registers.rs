//! Registers against the ledger's rows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;

use super::report::{Finding, FindingKind};
use super::run::{PAGE_MAX, Run};
use crate::domain::{Sku, StockRow};
use crate::holds::Held;
use crate::service::Error;

/// A register that differs from its row is given this time to catch up, because a commit is pushed only after it is
/// visible. It is more than a push takes, and more than the default period of sync.
const CATCH_UP: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// Answers the held counters of all skus that have a register or a counter.
    pub(super) async fn compare_registers(&mut self) -> Result<BTreeMap<Sku, Held>, Error> {
        let (mut all, mut cursor) = (BTreeMap::new(), String::new());
        loop {
            let (skus, next) = self.service.holds.skus(self.location, cursor).await?;
            cursor = next;
            let new: BTreeSet<_> = skus.into_iter().filter(|sku| !all.contains_key(sku)).collect();
            for chunk in new.into_iter().collect::<Vec<_>>().chunks(PAGE_MAX) {
                let counters = self.compare_some_registers(chunk).await?;
                all.extend(chunk.iter().cloned().zip(counters));
            }
            if cursor.is_empty() {
                self.report.sku_count = all.len();
                return Ok(all);
            }
        }
    }

    async fn compare_some_registers(&mut self, skus: &[Sku]) -> Result<Vec<Held>, Error> {
        // The registers are read before the rows: a register that is ahead of a row read later is truly ahead.
        let before = self.counters(skus).await?;
        let rows = self.service.ledger.rows(self.location, skus).await?;
        let registers = before.iter().map(|(register, _)| *register);
        let differs = |((sku, row), register): ((Sku, _), Option<StockRow>)| {
            register.filter(|judged| row != Some(*judged)).map(|judged| (sku, judged, row))
        };
        let different: Vec<_> = rows.into_iter().zip(registers).filter_map(differs).collect();
        if !different.is_empty() {
            sleep(CATCH_UP).await;
        }
        for (sku, judged, row) in different {
            self.compare_register(sku, judged, row).await?;
        }
        Ok(before.into_iter().map(|(_, held)| held).collect())
    }

    /// Reports a register that is still what it was when it differed from its row.
    async fn compare_register(&mut self, sku: Sku, judged: StockRow, row: Option<StockRow>) -> Result<(), Error> {
        let now = self.counters(std::slice::from_ref(&sku)).await?;
        if now.first().is_none_or(|(register, _)| *register != Some(judged)) {
            return Ok(());
        }
        let in_words = |row: StockRow| {
            let StockRow { version, on_hand, floor, retired } = row;
            format!("version {version} on_hand {on_hand} floor {floor} retired {retired}")
        };
        let (found, expected) = (in_words(judged), row.map_or("no row".to_owned(), in_words));
        let repaired =
            self.repair && self.service.holds.replace_register(self.location, sku.clone(), judged, row).await?;
        let description = format!("the register has {found}; the ledger has {expected}");
        self.add(Finding { kind: FindingKind::Register, sku: Some(sku), id: None, description, repaired });
        Ok(())
    }
}
