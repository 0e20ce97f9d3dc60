//! Sync: pushes rows that changed, so that a register which missed its push (a crash between commit and push, a Redis
//! that lost seconds) is right again within one period.
//!
//! The holds' store itself keeps the mark of how far sync has come, so that the mark is lost or rewound together with
//! the registers.

use super::losses::Loss;
use super::{Error, Service};
use crate::domain::Location;

/// How far sync looks back behind its mark, in microseconds, as versions are. A row gets its version before its commit
/// makes it visible: a try may take 5 s, and a server that hears nothing from a client for 10 s rolls back. Only the
/// server itself can delay a commit for longer than that; `follow` takes care of those.
const OVERLAP_MICROS: i64 = 30_000_000;

/// How many rows are read and pushed at a time.
const ROWS_MAX: u64 = 500;

impl Service {
    /// Pushes the rows of a location that changed since the last sync. Answers how many registers were behind.
    pub async fn sync(&self, location: &Location) -> Result<usize, Error> {
        self.losses.log_summary();
        let synced = self.holds.synced(location).await?;
        if let Some(synced) = synced {
            self.ledger.see_micros(synced);
        }
        let mark = self.ledger.now_micros().await?;
        let behind = self.push_changed(location, from(location, synced, mark)).await?;
        // A location without a mark is new, unless registers are missing.
        let loss = self.losses.judge(location, synced).or((synced.is_none() && behind > 0).then_some(Loss::Emptied));
        match loss {
            Some(loss) => self.losses.log(location, loss, behind),
            None if behind > 0 => tracing::info!(
                location = location.as_str(),
                behind,
                "pushed stock rows that the holds' store did not have"
            ),
            None => {}
        }
        // If the store was rewound meanwhile its mark was too, and must stay so: the next sync begins there.
        if let Some(stands) = self.holds.set_synced(location, synced, mark).await? {
            self.losses.see(location, stands);
        }
        Ok(behind)
    }

    /// Pushes all rows with a later version. Answers how many registers were behind.
    async fn push_changed(&self, location: &Location, from: i64) -> Result<usize, Error> {
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
                return Ok(behind);
            }
        }
    }
}

/// The version from which on rows are pushed.
fn from(location: &Location, synced: Option<i64>, mark: i64) -> i64 {
    match synced {
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
    }
}
