//! Reading supply, settlements and the books, outside of any transaction.

use std::collections::BTreeMap;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, Statement, Value,
};

use super::dialect::{Dialect, by_primary_key, by_version};
use super::entity::stock::{Column, Entity};
use super::packet::Connection;
use super::select;
use crate::domain::{Location, ReservationId, Settlement, Sku, StockRow};
use crate::ledger::database::Book;
use crate::ledger::error::LedgerError;

/// The rows of these skus, those that exist.
pub(super) async fn rows(
    db: &DatabaseConnection,
    dialect: Dialect,
    location: &Location,
    skus: &[Sku],
) -> Result<BTreeMap<Sku, StockRow>, LedgerError> {
    let statements = select::rows(dialect, location, &skus.iter().collect::<Vec<_>>(), false);
    select::read_rows(ask(db, dialect, &statements).await?)
}

/// The settlements of these reservations, those that exist, with their deducted lines.
pub(super) async fn settlements(
    db: &DatabaseConnection,
    dialect: Dialect,
    location: &Location,
    ids: &[ReservationId],
) -> Result<BTreeMap<ReservationId, Settlement>, LedgerError> {
    let statements = select::settlements(dialect, location, &ids.iter().collect::<Vec<_>>());
    select::read_settlements(ask(db, dialect, &statements).await?)
}

/// Runs statements in one packet, if there are any; an empty one is an error.
async fn ask(
    db: &DatabaseConnection,
    dialect: Dialect,
    statements: &[String],
) -> Result<impl Iterator<Item = QueryResult> + use<>, DbErr> {
    let answers = match statements {
        [] => Vec::new(),
        _ => Connection::of(db, dialect).await?.run(statements).await?,
    };
    Ok(answers.into_iter().flatten())
}

/// The database's clock, in microseconds since 1970.
pub(super) async fn now_micros(db: &DatabaseConnection, dialect: Dialect) -> Result<i64, DbErr> {
    dialect.row(db, &dialect.now_micros()).await?.try_get("", "now_micros")
}

/// Rows in byte order of the sku.
pub(super) async fn list_rows(
    db: DatabaseConnection,
    location: &Location,
    after: Option<&Sku>,
    limit: u64,
) -> Result<Vec<(Sku, StockRow)>, LedgerError> {
    let after = after.map_or("", Sku::as_str);
    let select = Entity::find().filter(Column::Location.eq(location.as_str())).filter(Column::Sku.gt(after));
    let models = by_primary_key(select).order_by_asc(Column::Sku).limit(limit).all(&db).await?;
    models.into_iter().map(|model| model.into_row()).collect()
}

/// Rows in order of their version, then of the sku. The rest of one version and the later versions are two ranges of
/// the index: as one condition, each page would read all rows of the version that the pages before have passed. A row
/// that changes between the two statements is missed by neither, because its version grows.
pub(super) async fn rows_changed(
    db: DatabaseConnection,
    location: &Location,
    (version, sku): (i64, Option<&Sku>),
    limit: u64,
) -> Result<Vec<(Sku, StockRow)>, LedgerError> {
    let of_location = || by_version(Entity::find().filter(Column::Location.eq(location.as_str())));
    let mut models = Vec::new();
    if let Some(sku) = sku {
        let rest = of_location().filter(Column::Version.eq(version)).filter(Column::Sku.gt(sku.as_str()));
        models = rest.order_by_asc(Column::Sku).limit(limit).all(&db).await?;
    }
    let left = limit.saturating_sub(models.len() as u64);
    if left > 0 {
        let later = of_location().filter(Column::Version.gt(version));
        let later = later.order_by_asc(Column::Version).order_by_asc(Column::Sku).limit(left);
        models.extend(later.all(&db).await?);
    }
    models.into_iter().map(|model| model.into_row()).collect()
}

/// All locations. MySQL steps from one to the next in the index, SQLite reads the index.
pub(super) async fn locations(db: DatabaseConnection) -> Result<Vec<Location>, LedgerError> {
    let select = Entity::find().select_only().column(Column::Location).distinct().order_by_asc(Column::Location);
    let found: Vec<String> = select.into_tuple().all(&db).await?;
    let parse = |text: String| {
        Location::parse(&text).map_err(|broken| LedgerError::Corrupt(format!("location {text:?} {broken}")))
    };
    found.into_iter().map(parse).collect()
}

/// One statement, because one statement sees one snapshot. It reads all deductions of the location, so that no confirm
/// has to keep an index by sku.
const BOOKS: &str = "SELECT stock.sku AS sku, on_hand, CAST(COALESCE(moved.units, 0) AS SIGNED) AS moved, \
    CAST(COALESCE(deducted.units, 0) AS SIGNED) AS deducted FROM stock \
    LEFT JOIN (SELECT sku, SUM(delta) AS units FROM movements \
    WHERE location = ? AND sku > ? AND sku <= ? GROUP BY sku) AS moved ON moved.sku = stock.sku \
    LEFT JOIN (SELECT sku, SUM(quantity) AS units FROM deductions \
    WHERE location = ? AND sku > ? AND sku <= ? GROUP BY sku) AS deducted ON deducted.sku = stock.sku \
    WHERE location = ? AND stock.sku > ? AND stock.sku <= ? ORDER BY stock.sku";

/// The books of the skus after one and up to another, as of one instant.
pub(super) async fn books(
    db: &DatabaseConnection,
    dialect: Dialect,
    location: &Location,
    after: Option<&Sku>,
    last: &Sku,
) -> Result<Vec<Book>, LedgerError> {
    let range = [location.as_str(), after.map_or("", Sku::as_str), last.as_str()];
    let values = [range; 3].into_iter().flatten().map(Value::from);
    let answered = db.query_all_raw(Statement::from_sql_and_values(dialect.backend(), BOOKS, values)).await?;
    let book = |row: QueryResult| {
        let sku: String = row.try_get("", "sku")?;
        Ok(Book {
            sku: Sku::parse(&sku).map_err(|broken| LedgerError::Corrupt(format!("sku {sku:?} {broken}")))?,
            on_hand: row.try_get("", "on_hand")?,
            moved: row.try_get("", "moved")?,
            deducted: row.try_get("", "deducted")?,
        })
    };
    answered.into_iter().map(book).collect()
}
