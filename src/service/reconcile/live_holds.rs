//! Live holds against settlements.

use super::report::{Finding, FindingKind};
use super::run::Run;
use crate::domain::{Settlement, State};
use crate::service::Error;
use crate::telemetry::chain;

impl Run<'_> {
    /// A confirming reservation may be settled already, that is its way. A held one must not be, unless Redis was
    /// rewound.
    pub(super) async fn compare_live_holds(&mut self) -> Result<(), Error> {
        let (mut page, mut after) = self.live(None).await?;
        loop {
            self.report.reservation_count += page.len();
            let held = page.into_iter().filter(|reservation| reservation.state == State::Held);
            let ids: Vec<_> = held.map(|reservation| reservation.id).collect();
            for settlement in self.service.ledger.settlements(self.location, &ids).await? {
                self.compare_settled(settlement).await?;
            }
            if after.is_none() {
                return Ok(());
            }
            (page, after) = self.live(after).await?;
        }
    }

    async fn compare_settled(&mut self, settlement: Settlement) -> Result<(), Error> {
        let id = settlement.id.clone();
        // It may have been confirmed and settled since the page was read.
        let now = self.service.holds.get(self.location, &id).await?;
        if now.is_some_and(|reservation| reservation.state == State::Held) {
            let description = format!("is held, although the ledger has it as {:?}", settlement.outcome);
            let repaired = self.repair
                && match self.service.settle_from_ledger(self.location, settlement).await {
                    Ok(_) => true,
                    Err(error) => {
                        tracing::warn!(
                            location = self.location.as_str(),
                            reservation_id = id.as_str(),
                            error = chain(&error),
                            "a difference was not repaired"
                        );
                        false
                    }
                };
            self.add(Finding { kind: FindingKind::Settled, sku: None, id: Some(id), description, repaired });
        }
        Ok(())
    }
}
