//! Locations that the holds' store does not know: the ledger says whether they exist, and if so, one of their rows is
//! pushed. Callers who invent locations cost a bounded number of lookups and nothing that is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use moka::sync::Cache;
use tokio::time::Instant;

use crate::domain::{Location, Refusal, Sku, StockRow};
use crate::holds::Command;
use crate::holds::batched::BatchedHolds;
use crate::ledger::{Ledger, LedgerError};
use crate::service::error::Error;

/// How long a location that the ledger does not have is remembered, so that repeated requests for it do not reach the
/// database. A location that is created meanwhile is seen at once: creating it pushes a register.
const UNKNOWN_LOCATION_TTL: Duration = Duration::from_secs(3);

/// How many unknown locations are remembered.
const UNKNOWN_LOCATIONS_MAX: u64 = 10_000;

/// How many locations are looked up at a time; more requests are refused. The database answers some thousand a second.
const LOOKUPS_MAX: usize = 64;

/// One row of a location, if it has any. All callers who ask for the location meanwhile share it.
type Lookup = Shared<BoxFuture<'static, Result<Option<(Sku, StockRow)>, LedgerError>>>;

/// Looks up locations.
pub(super) struct Locations {
    store: BatchedHolds,
    ledger: Ledger,
    under_way: Arc<Mutex<HashMap<Location, Lookup>>>,
    /// Since when.
    unknown: Cache<Location, Instant>,
}

impl Locations {
    pub(super) fn new(store: BatchedHolds, ledger: Ledger) -> Self {
        // The cache's own clock only throws away what is old.
        let unknown = Cache::builder().max_capacity(UNKNOWN_LOCATIONS_MAX).time_to_live(UNKNOWN_LOCATION_TTL).build();
        Self { store, ledger, under_way: Arc::default(), unknown }
    }

    /// Forgets that the location was unknown.
    pub(super) fn created(&self, location: &Location) {
        self.unknown.invalidate(location);
    }

    /// Makes the location known to the holds' store.
    ///
    /// # Errors
    /// Refused: `UnknownLocation`, if the ledger has no row of it. `Overloaded`, if too many locations are looked up.
    pub(super) async fn locate(&self, location: &Location) -> Result<(), Error> {
        let unknown = || Error::from(Refusal::UnknownLocation(location.clone()));
        if self.unknown.get(location).is_some_and(|since| since.elapsed() < UNKNOWN_LOCATION_TTL) {
            return Err(unknown());
        }
        let Some((sku, row)) = self.lookup(location)?.await? else {
            self.unknown.insert(location.clone(), Instant::now());
            return Err(unknown());
        };
        self.store.apply(location, Command::Push { rows: vec![(sku, Some(row))] }).await?;
        Ok(())
    }

    /// Joins the lookup of the location that is under way, or begins one.
    fn lookup(&self, location: &Location) -> Result<Lookup, Error> {
        // Nothing under the lock can panic.
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = under_way.get(location) {
            return Ok(lookup.clone());
        }
        if under_way.len() >= LOOKUPS_MAX {
            return Err(Error::Overloaded);
        }
        let (ledger, all, of) = (self.ledger.clone(), Arc::clone(&self.under_way), location.clone());
        let lookup = async move {
            let rows = ledger.list_rows(&of, None, 1).await;
            all.lock().unwrap_or_else(PoisonError::into_inner).remove(&of);
            rows.map(|mut rows| rows.pop())
        };
        let lookup = lookup.boxed().shared();
        under_way.insert(location.clone(), lookup.clone());
        // It ends also if all its callers leave.
        tokio::spawn(lookup.clone().map(drop));
        Ok(lookup)
    }
}
