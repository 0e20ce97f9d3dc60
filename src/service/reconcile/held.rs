//! Held counters against live holds.

use std::collections::{BTreeMap, HashSet};

use super::report::{Finding, FindingKind};
use super::run::Run;
use crate::domain::Sku;
use crate::holds::Held;
use crate::service::Error;

impl Run<'_> {
    /// The counters were read before the holds are summed: one that did not change since is judged by a sum that is
    /// true.
    pub(super) async fn compare_held(&mut self, counters: BTreeMap<Sku, Held>) -> Result<(), Error> {
        let (mut sums, mut seen) = (BTreeMap::<Sku, i64>::new(), HashSet::new());
        let (mut page, mut after) = self.live(None).await?;
        loop {
            // Extending moves a hold to a later page: it is seen twice and must count once.
            for reservation in page.into_iter().filter(|reservation| seen.insert(reservation.id.clone())) {
                for line in reservation.lines.iter() {
                    *sums.entry(line.sku.clone()).or_default() += i64::from(line.quantity);
                }
            }
            if after.is_none() {
                break;
            }
            (page, after) = self.live(after).await?;
        }
        for (sku, judged) in counters {
            let units = sums.get(&sku).copied().unwrap_or(0);
            if judged.units == units {
                continue;
            }
            let now = self.counters(std::slice::from_ref(&sku)).await?;
            if now.first().is_none_or(|(_, held)| *held != judged) {
                continue;
            }
            let repaired =
                self.repair && self.service.holds.replace_held(self.location, sku.clone(), judged, units).await?;
            let description = format!("held is {}; the live holds have {units}", judged.units);
            self.add(Finding { kind: FindingKind::Held, sku: Some(sku), id: None, description, repaired });
        }
        Ok(())
    }
}
