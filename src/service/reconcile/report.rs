//! What Reconcile answers.

use crate::domain::{ReservationId, Sku};

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
