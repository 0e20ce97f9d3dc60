//! A business "no": one variant for each reason that a caller can act on. Nothing was changed when one is answered,
//! unless the variant says so.

use super::{Location, RequestId, ReservationId, Sku};

/// A field that is not within its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Its path in the request, such as `lines[1].quantity`.
    pub field: String,
    /// What is wrong, naming the bound.
    pub description: String,
}

/// A sku of which too little is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What is short.
    pub sku: Sku,
    /// Units that were asked for.
    pub requested: i64,
    /// Units that are free.
    pub available: i64,
    /// Units in live holds.
    pub held: i64,
}

/// A version that is not the one the caller expected; 0 means no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionMismatch {
    /// The sku.
    pub sku: Sku,
    /// What the caller expected.
    pub expected: i64,
    /// What is there.
    pub actual: i64,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Malformed; never empty.
    InvalidFields(Vec<FieldViolation>),
    /// Too little is free; never empty.
    InsufficientStock(Vec<Shortage>),
    /// No such skus; never empty.
    UnknownSkus(Vec<Sku>),
    /// No such location: no sku was ever created in it.
    UnknownLocation(Location),
    /// These skus refuse new holds; never empty.
    RetiredSkus(Vec<Sku>),
    /// Never seen, or forgotten.
    ReservationNotFound(ReservationId),
    /// The id was used with other lines.
    ReservationIdReused(ReservationId),
    /// The id was used with other content.
    RequestIdReused(RequestId),
    /// Confirmed with other lines, or more than is held.
    ConfirmMismatch(ReservationId),
    /// Too late.
    Expired(ReservationId),
    /// Ended: given back.
    Cancelled(ReservationId),
    /// Ended: deducted.
    Confirmed(ReservationId),
    /// Ended: the stock was gone. What was short is told to the caller whose request ended it.
    Rejected(ReservationId, Vec<Shortage>),
    /// Read again, then decide; never empty.
    VersionMismatch(Vec<VersionMismatch>),
}

impl Refusal {
    /// The refusal of one malformed field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::InvalidFields(vec![FieldViolation { field: field.into(), description: description.into() }])
    }
}
