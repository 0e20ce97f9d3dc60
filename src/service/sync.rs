//! Sync: pushes rows that changed, so that a register which missed its push (a crash between commit and push, a Redis
//! that lost seconds) is right again within one period.
//!
//! How far it came is kept in the holds' store itself, so that it is lost, or rewound, together with the registers.

use super::{Error, Service};
use crate::domain::Location;

/// Rows that changed so long before the last mark are pushed again. Longer than the longest transaction: a row gets its
/// version before its commit makes it visible. In microseconds, as versions are.
const OVERLAP_MICROS: i64 = 30_000_000;

/// How many rows are read and pushed at a time.
const ROWS_MAX: u64 = 500;

impl Service {
    /// Pushes the rows of a location that changed since the last sync; answers how many registers were behind.
    pub async fn sync(&self, location: &Location) -> Result<usize, Error> {
        let synced = self.holds.synced(location).await?;
        let mark = self.ledger.now_micros().await?;
        let from = match synced {
            // Not further back than the overlap covers.
            Some(synced) if synced <= mark + OVERLAP_MICROS => synced.min(mark) - OVERLAP_MICROS,
            Some(synced) => {
                tracing::warn!(
                    location = location.as_str(),
                    synced,
                    mark,
                    "the database's clock went back, as after a failover: pushing all rows"
                );
                0
            }
            None => 0,
        };
        let mut behind = 0;
        let (mut version, mut sku) = (from, None);
        loop {
            let rows = self.ledger.rows_changed(location, (version, sku.as_ref()), ROWS_MAX).await?;
            let last = (rows.len() as u64) < ROWS_MAX;
            if let Some((last_sku, row)) = rows.last() {
                (version, sku) = (row.version, Some(last_sku.clone()));
                let rows = rows.into_iter().map(|(sku, row)| (sku, Some(row))).collect();
                behind += self.holds.push(location, rows).await?;
            }
            if last {
                break;
            }
        }
        // If the store was rewound meanwhile its mark was too, and must stay so: the next sync begins there.
        self.holds.set_synced(location, synced, mark).await?;
        Ok(behind)
    }
}
