//! Reading rows and settlements by their keys: the text of a statement, and what its answer means.

use std::collections::BTreeMap;

use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult, QuerySelect, QueryTrait,
};

use super::dialect::{Dialect, by_primary_key};
use super::entity::{movement, settlement, stock};
use crate::domain::{Location, RequestId, ReservationId, Settlement, Sku, StockRow};
use crate::ledger::error::LedgerError;

/// The longest `IN` list: below the 1000 from which MariaDB turns a list into a join.
const LIST_MAX: usize = 512;

/// The rows of these skus; with `lock` they are locked in the order given.
pub(super) fn rows(dialect: Dialect, location: &Location, skus: &[&Sku], lock: bool) -> Vec<String> {
    let rows_of = |list: &[&Sku]| {
        let select = stock::Entity::find()
            .filter(stock::Column::Location.eq(location.as_str()))
            .filter(stock::Column::Sku.is_in(list.iter().map(|sku| sku.as_str())))
            .order_by_asc(stock::Column::Sku);
        let select = if lock { select.lock_exclusive() } else { select };
        dialect.text(&by_primary_key(select).into_query())
    };
    skus.chunks(LIST_MAX).map(rows_of).collect()
}

pub(super) fn read_rows(answered: impl Iterator<Item = QueryResult>) -> Result<BTreeMap<Sku, StockRow>, LedgerError> {
    answered.map(|row| stock::Model::from_query_result(&row, "")?.into_row()).collect()
}

/// The settlements of these reservations: a row for each deducted line, or one without a line. One statement sees a
/// settlement with all of its deductions, because they are committed together.
pub(super) fn settlements(dialect: Dialect, location: &Location, ids: &[&ReservationId]) -> Vec<String> {
    let (location, hint) = (dialect.quoted(location.as_str()), dialect.primary_key_hint());
    let settlements_of = |list: &[&ReservationId]| {
        let ids: Vec<_> = list.iter().map(|id| dialect.quoted(id.as_str())).collect();
        format!(
            "SELECT s.*, d.sku, d.quantity FROM settlements s {hint} LEFT JOIN deductions d {hint} \
             ON d.location = s.location AND d.reservation_id = s.reservation_id \
             WHERE s.location = {location} AND s.reservation_id IN ({})",
            ids.join(", ")
        )
    };
    ids.chunks(LIST_MAX).map(settlements_of).collect()
}

pub(super) fn read_settlements(
    answered: impl Iterator<Item = QueryResult>,
) -> Result<BTreeMap<ReservationId, Settlement>, LedgerError> {
    let mut lines = BTreeMap::<ReservationId, BTreeMap<Sku, u32>>::new();
    let mut settled = BTreeMap::new();
    for row in answered {
        let settlement = settlement::Model::from_query_result(&row, "")?.into_settlement()?;
        let lines = lines.entry(settlement.id.clone()).or_default();
        lines.extend(line(&row, &settlement.id)?);
        settled.insert(settlement.id.clone(), settlement);
    }
    for (id, lines) in lines {
        if let Some(settlement) = settled.get_mut(&id) {
            settlement.lines = lines.into_iter().collect();
        }
    }
    Ok(settled)
}

fn line(row: &QueryResult, id: &ReservationId) -> Result<Option<(Sku, u32)>, LedgerError> {
    let Some(sku) = row.try_get::<Option<String>>("", "sku")? else { return Ok(None) };
    let corrupt = |what: &str| LedgerError::Corrupt(format!("deduction of {id:?}: {what}"));
    let sku = Sku::parse(&sku).map_err(|broken| corrupt(&broken))?;
    let quantity = u32::try_from(row.try_get::<i64>("", "quantity")?).map_err(|_| corrupt("quantity"))?;
    Ok(Some((sku, quantity)))
}

/// The fingerprint of the change of supply that was made under this id. All of its movements have it.
pub(super) fn change_made(dialect: Dialect, location: &Location, request_id: &RequestId) -> String {
    let select = movement::Entity::find()
        .select_only()
        .column(movement::Column::Fingerprint)
        .filter(movement::Column::Location.eq(location.as_str()))
        .filter(movement::Column::RequestId.eq(request_id.as_str()))
        .limit(1);
    dialect.text(&by_primary_key(select).into_query())
}

pub(super) fn read_change_made(mut answered: impl Iterator<Item = QueryResult>) -> Result<Option<String>, DbErr> {
    answered.next().map(|row| row.try_get("", "fingerprint")).transpose()
}

/// The answer to [`Dialect::now_micros`].
pub(super) fn read_now_micros(mut answered: impl Iterator<Item = QueryResult>) -> Result<i64, DbErr> {
    let row = answered.next().ok_or_else(|| DbErr::RecordNotFound("the time".into()))?;
    row.try_get("", "now_micros")
}
