//! Reconcile: compares everything that can be compared in a location, repairs the holds' store, and reports. Safe under
//! traffic: what is repaired is replaced only if it is still what was judged.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{Error, Service};
use crate::domain::{Location, Reservation, ReservationId, Settlement, Sku, State, StockRow};
use crate::holds::{Held, Position};
use crate::ledger::database::Book;

/// The first findings are reported in words, the rest only counted.
const FINDINGS_MAX: usize = 1000;

/// How many skus or reservations are compared at a time.
const PAGE_MAX: usize = 500;

/// What was compared and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// The first 1000 findings.
    pub findings: Vec<Finding>,
    /// How many there were.
    pub finding_count: usize,
    /// How many of them were repaired.
    pub repaired_count: usize,
    /// How many skus were compared.
    pub sku_count: usize,
    /// How many live reservations were compared.
    pub reservation_count: usize,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// The sku, where one is concerned.
    pub sku: Option<Sku>,
    /// The reservation, where one is concerned.
    pub id: Option<ReservationId>,
    /// What was found and what was expected.
    pub description: String,
    /// Whether it was repaired.
    pub repaired: bool,
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// A register is not the ledger's row.
    Register,
    /// A held counter is not the sum of the live holds.
    Held,
    /// A reservation is held although the ledger has settled it.
    Settled,
    /// A reservation waits for something, and the index that leads to it lacks it.
    Index,
    /// The ledger's own books do not balance.
    Books,
}

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

struct Run<'a> {
    service: &'a Service,
    location: &'a Location,
    repair: bool,
    report: ReconcileReport,
}

impl<'a> Run<'a> {
    fn new(service: &'a Service, location: &'a Location, repair: bool) -> Self {
        Self { service, location, repair, report: ReconcileReport::default() }
    }

    fn end(self, compared: Result<(), Error>) -> Result<ReconcileReport, Error> {
        match compared {
            Ok(()) => Ok(self.report),
            Err(error) if self.report.repaired_count > 0 => Err(error.once_begun()),
            Err(error) => Err(error),
        }
    }

    async fn compare_stores(&mut self) -> Result<(), Error> {
        // The index comes first, because what it lacks is seen by no other comparison. Then come holds that the ledger
        // has settled: settling them changes registers and counters.
        self.compare_indexes().await?;
        self.compare_live_holds().await?;
        let counters = self.compare_registers().await?;
        self.compare_held(counters).await
    }

    /// Logs a finding and reports it: should the run fail later, the log has what was repaired before.
    fn add(&mut self, finding: Finding) {
        tracing::warn!(location = self.location.as_str(), ?finding, "reconcile found a difference");
        self.report.finding_count += 1;
        self.report.repaired_count += usize::from(finding.repaired);
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(finding);
        }
    }

    /// Some live reservations, and where to go on.
    async fn live(&self, after: Option<Position>) -> Result<(Vec<Reservation>, Option<Position>), Error> {
        let page = self.service.holds.list(self.location, after, PAGE_MAX).await?;
        Ok((page.reservations, page.next))
    }

    async fn compare_indexes(&mut self) -> Result<(), Error> {
        let mut cursor = String::new();
        loop {
            let (ids, next) = self.service.holds.reindex(self.location, cursor, self.repair).await?;
            for id in ids {
                let description = "is not in the index of what has to be ended or settled".to_owned();
                let repaired = self.repair;
                self.add(Finding { kind: FindingKind::Index, sku: None, id: Some(id), description, repaired });
            }
            if next.is_empty() {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// A confirming reservation may be settled already, that is its way. A held one must not be, unless Redis was
    /// rewound.
    async fn compare_live_holds(&mut self) -> Result<(), Error> {
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
                            ?error,
                            "a difference was not repaired"
                        );
                        false
                    }
                };
            self.add(Finding { kind: FindingKind::Settled, sku: None, id: Some(id), description, repaired });
        }
        Ok(())
    }

    /// Answers the held counters of all skus that have a register or a counter.
    async fn compare_registers(&mut self) -> Result<BTreeMap<Sku, Held>, Error> {
        let (mut all, mut cursor) = (BTreeMap::new(), String::new());
        loop {
            let (skus, next) = self.service.holds.skus(self.location, cursor).await?;
            cursor = next;
            let new: BTreeSet<_> = skus.into_iter().filter(|sku| !all.contains_key(sku)).collect();
            for chunk in new.into_iter().collect::<Vec<_>>().chunks(PAGE_MAX) {
                let counters = self.compare_some_registers(chunk).await?;
                all.extend(chunk.iter().cloned().zip(counters));
            }
            if cursor.is_empty() {
                self.report.sku_count = all.len();
                return Ok(all);
            }
        }
    }

    async fn counters(&self, skus: &[Sku]) -> Result<Vec<(Option<StockRow>, Held)>, Error> {
        self.service.holds.counters(self.location, skus).await
    }

    async fn compare_some_registers(&mut self, skus: &[Sku]) -> Result<Vec<Held>, Error> {
        // The registers are read before the rows: a register that is ahead of a row read later is truly ahead.
        let before = self.counters(skus).await?;
        let rows = self.service.ledger.rows(self.location, skus).await?;
        // One that is behind may only have been read too early.
        let after = self.counters(skus).await?;
        for ((sku, row), ((register, _), (register_now, _))) in rows.into_iter().zip(before.iter().zip(&after)) {
            let Some(judged) = *register else { continue };
            if row == Some(judged) || *register_now != Some(judged) {
                continue;
            }
            let found = format!(
                "version {} on_hand {} floor {} retired {}",
                judged.version, judged.on_hand, judged.floor, judged.retired
            );
            let expected = row.map_or("no row".to_owned(), |row| {
                format!("version {} on_hand {} floor {} retired {}", row.version, row.on_hand, row.floor, row.retired)
            });
            let repaired =
                self.repair && self.service.holds.replace_register(self.location, sku.clone(), judged, row).await?;
            let description = format!("the register has {found}; the ledger has {expected}");
            self.add(Finding { kind: FindingKind::Register, sku: Some(sku), id: None, description, repaired });
        }
        Ok(before.into_iter().map(|(_, held)| held).collect())
    }

    /// The counters were read before the holds are summed: one that did not change since is judged by a sum that is
    /// true.
    async fn compare_held(&mut self, counters: BTreeMap<Sku, Held>) -> Result<(), Error> {
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

    async fn compare_books(&mut self) -> Result<(), Error> {
        let mut after: Option<Sku> = None;
        loop {
            let books = self.service.ledger.books(self.location, after.as_ref()).await?;
            let Some(last) = books.last() else { return Ok(()) };
            after = Some(last.sku.clone());
            for Book { sku, on_hand, moved, deducted } in books {
                let expected = moved - deducted;
                if on_hand == expected {
                    continue;
                }
                let description =
                    format!("on_hand is {on_hand}; movements {moved} less deductions {deducted} are {expected}");
                self.add(Finding { kind: FindingKind::Books, sku: Some(sku), id: None, description, repaired: false });
            }
        }
    }
}
