//! The steps of background work and of Reconcile, and the push of rows that were just written.

use std::time::Duration;

use super::{FillingHolds, unexpected};
use crate::domain::{Location, Reservation, ReservationId, Sku, StockRow};
use crate::holds::{Command, Held, Page, Position, Reply, Rows};
use crate::service::error::Error;

impl FillingHolds {
    /// Forgets that these skus were unknown: they have just been written.
    pub(crate) fn created(&self, location: &Location, skus: &[Sku]) {
        self.fills.created(location, skus);
        self.locations.created(location);
    }

    /// Updates registers whose version is older. Answers how many there were.
    pub(crate) async fn push(&self, location: &Location, rows: Rows) -> Result<usize, Error> {
        self.count_pushed(location, Command::Push { rows }).await
    }

    /// Replaces a register by what the ledger has, whatever the versions. Answers false if the register is no longer
    /// what was judged.
    pub(crate) async fn replace_register(
        &self,
        location: &Location,
        sku: Sku,
        judged: StockRow,
        row: Option<StockRow>,
    ) -> Result<bool, Error> {
        let command = Command::ReplaceRegister { sku, judged: Some(judged), row };
        Ok(self.count_pushed(location, command).await? == 1)
    }

    /// Corrects a held counter. Answers false if the counter has changed since it was judged.
    pub(crate) async fn replace_held(
        &self,
        location: &Location,
        sku: Sku,
        judged: Held,
        units: i64,
    ) -> Result<bool, Error> {
        Ok(self.count_pushed(location, Command::ReplaceHeld { sku, judged, units }).await? == 1)
    }

    async fn count_pushed(&self, location: &Location, command: Command) -> Result<usize, Error> {
        match self.apply(location, command).await? {
            Reply::Pushed(count) => Ok(count),
            reply => Err(unexpected(&reply)),
        }
    }

    /// Registers and held counters as they are stored, in the order asked for.
    pub(crate) async fn counters(
        &self,
        location: &Location,
        skus: &[Sku],
    ) -> Result<Vec<(Option<StockRow>, Held)>, Error> {
        match self.apply(location, Command::Counters { skus: skus.to_vec() }).await? {
            Reply::Counters(counters) => Ok(counters),
            reply => Err(unexpected(&reply)),
        }
    }

    /// Some skus that have a register or a counter, and the cursor of the next page. The first cursor and the last are
    /// empty.
    pub(crate) async fn skus(&self, location: &Location, cursor: String) -> Result<(Vec<Sku>, String), Error> {
        match self.apply(location, Command::Skus { cursor }).await? {
            Reply::Skus(skus, next) => Ok((skus, next)),
            reply => Err(unexpected(&reply)),
        }
    }

    /// Reservations that an index lacks, of some that the store looks at, and the cursor of the next page. The first
    /// cursor and the last are empty. With `repair` they are entered.
    pub(crate) async fn reindex(
        &self,
        location: &Location,
        cursor: String,
        repair: bool,
    ) -> Result<(Vec<ReservationId>, String), Error> {
        match self.apply(location, Command::Reindex { cursor, repair }).await? {
            Reply::Unindexed(ids, next) => Ok((ids, next)),
            reply => Err(unexpected(&reply)),
        }
    }

    /// Live reservations among the next `limit` entries of the indexes.
    pub(crate) async fn list(&self, location: &Location, after: Option<Position>, limit: usize) -> Result<Page, Error> {
        match self.apply(location, Command::List { after, limit }).await? {
            Reply::Page(page) => Ok(page),
            reply => Err(unexpected(&reply)),
        }
    }

    /// Reclaims some overdue holds and forgets some of what ended long ago. Answers how many holds, and whether more is
    /// left to reclaim or to forget.
    pub(crate) async fn sweep(&self, location: &Location) -> Result<(usize, bool), Error> {
        match self.apply(location, Command::Sweep).await? {
            Reply::Swept { holds, more } => Ok((holds, more)),
            reply => Err(unexpected(&reply)),
        }
    }

    /// Takes up to `limit` reservations that have waited for their settlement untouched for `grace`.
    pub(crate) async fn claim(
        &self,
        location: &Location,
        limit: usize,
        grace: Duration,
    ) -> Result<Vec<Reservation>, Error> {
        match self.apply(location, Command::Claim { limit, grace_ms: grace.as_millis() as u64 }).await? {
            Reply::Claimed(claimed) => Ok(claimed),
            reply => Err(unexpected(&reply)),
        }
    }

    /// How far sync has pushed, as a row version. `None`: the store has lost its mark, or never had one.
    pub(crate) async fn synced(&self, location: &Location) -> Result<Option<i64>, Error> {
        self.mark(location, Command::GetSynced).await
    }

    /// Moves the mark of sync, unless another instance or a rewind of the store has moved it since it was judged.
    /// Answers what stands.
    pub(crate) async fn set_synced(
        &self,
        location: &Location,
        judged: Option<i64>,
        version: i64,
    ) -> Result<Option<i64>, Error> {
        self.mark(location, Command::SetSynced { judged, version }).await
    }

    async fn mark(&self, location: &Location, command: Command) -> Result<Option<i64>, Error> {
        match self.apply(location, command).await? {
            Reply::Synced(synced) => Ok(synced),
            reply => Err(unexpected(&reply)),
        }
    }
}
