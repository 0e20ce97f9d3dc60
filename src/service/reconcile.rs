//! Reconcile: compares everything that can be compared in a location, repairs the holds' store, and reports. Safe under
//! traffic: what is repaired is replaced only if it is still what was judged.

mod books;
mod held;
mod indexes;
mod live_holds;
mod registers;
mod report;
mod run;

use super::{Error, Service};
use crate::domain::Location;
use run::Run;

pub use report::{Finding, FindingKind, ReconcileReport};

impl Service {
    /// Compares indexes with records, registers with rows, held counters with live holds, live holds with settlements,
    /// and the ledger's books with each other. Repairs all but the books, unless `validate_only`.
    pub async fn reconcile(&self, location: &Location, validate_only: bool) -> Result<ReconcileReport, Error> {
        let mut run = Run::new(self, location, !validate_only);
        let mut compared = run.compare_stores().await;
        if compared.is_ok() {
            compared = run.compare_books().await;
        }
        run.end(compared)
    }

    /// As `reconcile` with repairs, without the books, which are heavy on the database.
    pub async fn reconcile_stores(&self, location: &Location) -> Result<ReconcileReport, Error> {
        let mut run = Run::new(self, location, true);
        let compared = run.compare_stores().await;
        run.end(compared)
    }

    /// Compares the ledger's books with each other.
    pub async fn reconcile_books(&self, location: &Location) -> Result<ReconcileReport, Error> {
        let mut run = Run::new(self, location, false);
        let compared = run.compare_books().await;
        run.end(compared)
    }
}

impl Run<'_> {
    async fn compare_stores(&mut self) -> Result<(), Error> {
        // The index comes first, because what it lacks is seen by no other comparison. Then come holds that the ledger
        // has settled: settling them changes registers and counters.
        self.compare_indexes().await?;
        self.compare_live_holds().await?;
        let counters = self.compare_registers().await?;
        self.compare_held(counters).await
    }
}
