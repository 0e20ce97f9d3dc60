//! Registers that the holds' store does not have: they are read from the ledger and pushed. So an emptied Redis fills
//! itself on demand.

use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

use crate::domain::{Location, Refusal, Sku};
use crate::holds::Command;
use crate::holds::batched::BatchedHolds;
use crate::ledger::Ledger;
use crate::service::error::Error;

/// How long a sku that the ledger does not have is remembered, so that repeated requests for it do not reach the
/// database. A sku that is created meanwhile is seen at once: creating it pushes its register, and registers are looked
/// at first.
const UNKNOWN_SKU_TTL: Duration = Duration::from_secs(3);

/// How many unknown skus are remembered.
const UNKNOWN_SKUS_MAX: u64 = 10_000;

/// Fills registers.
pub(super) struct Fills {
    store: BatchedHolds,
    ledger: Ledger,
    /// Since when.
    unknown_skus: Cache<(Location, Sku), Instant>,
}

impl Fills {
    pub(super) fn new(store: BatchedHolds, ledger: Ledger) -> Self {
        // The cache's own clock only throws away what is old.
        let unknown_skus = Cache::builder().max_capacity(UNKNOWN_SKUS_MAX).time_to_live(UNKNOWN_SKU_TTL).build();
        Self { store, ledger, unknown_skus }
    }

    /// Forgets that these skus were unknown.
    pub(super) fn created(&self, location: &Location, skus: &[Sku]) {
        for sku in skus {
            self.unknown_skus.invalidate(&(location.clone(), sku.clone()));
        }
    }

    /// Pushes the rows of these skus.
    ///
    /// # Errors
    /// Refused: `UnknownSkus`, if the ledger lacks one of them.
    pub(super) async fn fill(&self, location: &Location, skus: Vec<Sku>) -> Result<(), Error> {
        let key = |sku: &Sku| (location.clone(), sku.clone());
        let is_unknown =
            |sku: &Sku| self.unknown_skus.get(&key(sku)).is_some_and(|since| since.elapsed() < UNKNOWN_SKU_TTL);
        let (mut unknown, asked): (Vec<_>, Vec<_>) = skus.into_iter().partition(is_unknown);
        let rows = self.ledger.rows(location, &asked).await?;
        for (sku, _) in rows.iter().filter(|(_, row)| row.is_none()) {
            self.unknown_skus.insert(key(sku), Instant::now());
            unknown.push(sku.clone());
        }
        if !unknown.is_empty() {
            unknown.sort();
            return Err(Refusal::UnknownSkus(unknown).into());
        }
        self.store.apply(location, Command::Push { rows }).await?;
        Ok(())
    }
}
