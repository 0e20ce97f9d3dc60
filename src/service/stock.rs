//! Supply: changed in the ledger first, then pushed to the holds' store.

use super::{Error, Service};
use crate::domain::{Adjustment, Location, Refusal, RequestId, Sku, StockItem, StockTarget};
use crate::ledger::LedgerError;

impl Service {
    /// Sets `on_hand`, `floor` and `retired` of all skus or none, and answers how they stand.
    ///
    /// # Errors
    /// Refused: `RequestIdReused`, `VersionMismatch`. `OutcomeUnknown`: it may have been done; the caller repeats.
    pub async fn set_stock(
        &self,
        location: &Location,
        request_id: RequestId,
        targets: Vec<StockTarget>,
    ) -> Result<Vec<StockItem>, Error> {
        let result = self.ledger.set_stock(location, &request_id, &targets).await;
        self.push(location, targets.into_iter().map(|target| target.sku).collect(), result).await
    }

    /// Adds units to all skus or none, and answers how they stand. `reason` goes to the books.
    ///
    /// # Errors
    /// Refused: `RequestIdReused`, `UnknownSkus`, `InvalidFields` (out of bounds). `OutcomeUnknown`: it may have
    /// been done; the caller repeats.
    pub async fn adjust_stock(
        &self,
        location: &Location,
        request_id: RequestId,
        reason: String,
        adjustments: Vec<Adjustment>,
    ) -> Result<Vec<StockItem>, Error> {
        let result = self.ledger.adjust_stock(location, &request_id, &reason, &adjustments).await;
        self.push(location, adjustments.into_iter().map(|adjustment| adjustment.sku).collect(), result).await
    }

    /// Pushes rows that the ledger has changed to the holds' store, and reads them as they stand. A change whose
    /// outcome is unknown is followed.
    async fn push(
        &self,
        location: &Location,
        skus: Vec<Sku>,
        changed: Result<Result<(), Refusal>, LedgerError>,
    ) -> Result<Vec<StockItem>, Error> {
        changed.map_err(|error| {
            self.follower.follow(location, &skus);
            Error::from(error).once_begun()
        })??;
        self.holds.created(location, &skus);
        let pushed = async {
            let rows = self.ledger.rows(location, &skus).await?;
            self.holds.push(location, rows).await
        };
        if let Err(error) = pushed.await {
            // The change is durable, and a repeated call answers in full. Sync would miss the rows if their versions
            // lie behind its mark, because the database's clock went back for a moment.
            self.follower.follow(location, &skus);
            return Err(error.once_begun());
        }
        self.get_stock(location, skus).await.map_err(Error::once_begun)
    }

    /// Some skus as they stand, sorted, all or none.
    ///
    /// # Errors
    /// Refused: `UnknownSkus`.
    pub async fn get_stock(&self, location: &Location, mut skus: Vec<Sku>) -> Result<Vec<StockItem>, Error> {
        skus.sort();
        skus.dedup();
        self.holds.stock(location, skus).await
    }

    /// A page of all skus in byte order, and where to go on; none at the end.
    pub async fn list_stock(
        &self,
        location: &Location,
        page_size: usize,
        after: Option<Sku>,
    ) -> Result<(Vec<StockItem>, Option<Sku>), Error> {
        let rows = self.ledger.list_rows(location, after.as_ref(), page_size as u64).await?;
        let skus: Vec<_> = rows.into_iter().map(|(sku, _)| sku).collect();
        let next = skus.last().filter(|_| skus.len() == page_size).cloned();
        let items = if skus.is_empty() { Vec::new() } else { self.get_stock(location, skus).await? };
        Ok((items, next))
    }
}
