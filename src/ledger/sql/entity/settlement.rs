//! The final word on a reservation.

use sea_orm::entity::prelude::*;

use crate::domain::{Fingerprint, Lines, Outcome, ReservationId, Settlement};
use crate::ledger::error::LedgerError;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "settlements")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub location: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub reservation_id: String,
    pub outcome: String,
    pub reserved: Option<String>,
    pub confirmed: Option<String>,
    pub settled_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The word of an outcome, here and back.
const OUTCOMES: [(Outcome, &str); 3] =
    [(Outcome::Confirmed, "CONFIRMED"), (Outcome::Cancelled, "CANCELLED"), (Outcome::Rejected, "REJECTED")];

pub(in crate::ledger::sql) fn word_of(outcome: Outcome) -> &'static str {
    OUTCOMES.iter().find(|(known, _)| *known == outcome).map_or("", |(_, word)| word)
}

impl Model {
    /// The settlement, still without its lines: they are deductions.
    pub(in crate::ledger::sql) fn into_settlement(self) -> Result<Settlement, LedgerError> {
        let corrupt = |what: &str| LedgerError::Corrupt(format!("settlement of {:?}: {what}", self.reservation_id));
        let fingerprint = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => Fingerprint::parse(text).map(Some).ok_or_else(|| corrupt("fingerprint")),
        };
        Ok(Settlement {
            id: ReservationId::parse(&self.reservation_id).map_err(|broken| corrupt(&broken))?,
            outcome: OUTCOMES.iter().find(|(_, word)| *word == self.outcome).ok_or_else(|| corrupt("outcome"))?.0,
            reserved: fingerprint(&self.reserved)?,
            confirmed: fingerprint(&self.confirmed)?,
            lines: Lines::default(),
            time_ms: u64::try_from(self.settled_at_ms).map_err(|_| corrupt("time"))?,
        })
    }
}
