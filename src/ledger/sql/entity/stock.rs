//! Supply, one row a sku.

use sea_orm::entity::prelude::*;

use crate::domain::stock::UNITS_MAX;
use crate::domain::{Sku, StockRow};
use crate::ledger::error::LedgerError;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "stock")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub location: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub sku: String,
    pub on_hand: i64,
    pub floor: i64,
    pub version: i64,
    pub retired: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(in crate::ledger::sql) fn into_row(self) -> Result<(Sku, StockRow), LedgerError> {
        let sku =
            Sku::parse(&self.sku).map_err(|broken| LedgerError::Corrupt(format!("sku {:?} {broken}", self.sku)))?;
        // Arithmetic rests on these bounds.
        if [self.on_hand, self.floor].iter().any(|units| units.unsigned_abs() > UNITS_MAX.unsigned_abs()) {
            return Err(LedgerError::Corrupt(format!("stock of {sku:?} is beyond ±{UNITS_MAX}")));
        }
        Ok((sku, StockRow { version: self.version, on_hand: self.on_hand, floor: self.floor, retired: self.retired }))
    }
}
