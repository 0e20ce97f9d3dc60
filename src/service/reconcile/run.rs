//! One run: where, whether to repair, and what was found so far.

use super::report::{Finding, ReconcileReport};
use crate::domain::{Location, Reservation, Sku, StockRow};
use crate::holds::{Held, Position};
use crate::service::{Error, Service};

/// The first findings are reported in words, the rest only counted.
const FINDINGS_MAX: usize = 1000;

/// How many skus or reservations are compared at a time.
pub(super) const PAGE_MAX: usize = 500;

/// A run of Reconcile over one location.
pub(super) struct Run<'a> {
    pub(super) service: &'a Service,
    pub(super) location: &'a Location,
    pub(super) repair: bool,
    pub(super) report: ReconcileReport,
}

impl<'a> Run<'a> {
    pub(super) fn new(service: &'a Service, location: &'a Location, repair: bool) -> Self {
        Self { service, location, repair, report: ReconcileReport::default() }
    }

    pub(super) fn end(self, compared: Result<(), Error>) -> Result<ReconcileReport, Error> {
        match compared {
            Ok(()) => Ok(self.report),
            Err(error) if self.report.repaired_count > 0 => Err(error.once_begun()),
            Err(error) => Err(error),
        }
    }

    /// Logs a finding and reports it: should the run fail later, the log has what was repaired before.
    pub(super) fn add(&mut self, finding: Finding) {
        tracing::warn!(location = self.location.as_str(), ?finding, "reconcile found a difference");
        self.report.finding_count += 1;
        self.report.repaired_count += usize::from(finding.repaired);
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(finding);
        }
    }

    /// Some live reservations, and where to go on.
    pub(super) async fn live(&self, after: Option<Position>) -> Result<(Vec<Reservation>, Option<Position>), Error> {
        let page = self.service.holds.list(self.location, after, PAGE_MAX).await?;
        Ok((page.reservations, page.next))
    }

    /// Registers and held counters of these skus, as they are stored.
    pub(super) async fn counters(&self, skus: &[Sku]) -> Result<Vec<(Option<StockRow>, Held)>, Error> {
        self.service.holds.counters(self.location, skus).await
    }
}
