//! Reading and writing the tables within a transaction or without, in lists of any length.

use std::collections::BTreeMap;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction,
    DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

use super::dialect::{Dialect, by_primary_key};
use super::entity::{deduction, movement, settlement, stock};
use super::sizes;
use crate::domain::{Lines, Location, Outcome, RequestId, ReservationId, Settlement, Sku, StockRow};
use crate::ledger::LedgerError;

/// Begins a transaction that will write: SQLite takes its write lock now, for a read that becomes a write may fail without waiting.
pub(super) async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
    db.begin_with_options(TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() }).await
}

pub(super) async fn now_micros(db: &impl ConnectionTrait, dialect: Dialect) -> Result<i64, DbErr> {
    dialect.row(db, dialect.now_micros()).await?.try_get("", "now_micros")
}

/// The rows of these skus, those that exist.
pub(super) async fn stock(
    db: &impl ConnectionTrait,
    location: &Location,
    skus: &[Sku],
) -> Result<BTreeMap<Sku, StockRow>, LedgerError> {
    read_stock(db, location, skus, false).await
}

/// As [`stock`], and nobody else changes these rows until the transaction ends. They are locked in byte order, as everybody does.
pub(super) async fn lock_stock(
    transaction: &DatabaseTransaction,
    location: &Location,
    skus: &[Sku],
) -> Result<BTreeMap<Sku, StockRow>, LedgerError> {
    let mut sorted = skus.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    read_stock(transaction, location, &sorted, true).await
}

async fn read_stock(
    db: &impl ConnectionTrait,
    location: &Location,
    skus: &[Sku],
    lock: bool,
) -> Result<BTreeMap<Sku, StockRow>, LedgerError> {
    let mut rows = BTreeMap::new();
    for list in sizes::lists(skus) {
        let select = stock::Entity::find()
            .filter(stock::Column::Location.eq(location.as_str()))
            .filter(stock::Column::Sku.is_in(list.iter().map(Sku::as_str)))
            .order_by_asc(stock::Column::Sku);
        let select = if lock { select.lock_exclusive() } else { select };
        for model in by_primary_key(select).all(db).await? {
            rows.extend([model.into_row()?]);
        }
    }
    Ok(rows)
}

/// The settlements of these reservations, those that exist, with their deducted lines. A settlement never changes and comes with its
/// deductions, so that reading them one after the other is as good as a snapshot.
pub(super) async fn settlements(
    db: &impl ConnectionTrait,
    location: &Location,
    ids: &[ReservationId],
) -> Result<BTreeMap<ReservationId, Settlement>, LedgerError> {
    let mut settled = BTreeMap::new();
    for list in sizes::lists(ids) {
        let select = settlement::Entity::find()
            .filter(settlement::Column::Location.eq(location.as_str()))
            .filter(settlement::Column::ReservationId.is_in(list.iter().map(ReservationId::as_str)));
        for model in by_primary_key(select).all(db).await? {
            let settlement = model.into_settlement()?;
            settled.insert(settlement.id.clone(), settlement);
        }
    }
    let confirmed: Vec<_> =
        settled.values().filter(|settlement| settlement.outcome == Outcome::Confirmed).map(|s| s.id.clone()).collect();
    let mut deducted = deductions(db, location, &confirmed).await?;
    for settlement in settled.values_mut() {
        let lines = deducted.remove(settlement.id.as_str()).unwrap_or_default();
        settlement.lines = Lines::from_stored(lines.into_iter());
    }
    Ok(settled)
}

/// The deducted lines by reservation, each in byte order of the sku.
async fn deductions(
    db: &impl ConnectionTrait,
    location: &Location,
    ids: &[ReservationId],
) -> Result<BTreeMap<String, Vec<(Sku, u32)>>, LedgerError> {
    let mut lines = BTreeMap::<String, Vec<(Sku, u32)>>::new();
    for list in sizes::lists(ids) {
        let select = deduction::Entity::find()
            .filter(deduction::Column::Location.eq(location.as_str()))
            .filter(deduction::Column::ReservationId.is_in(list.iter().map(ReservationId::as_str)))
            .order_by_asc(deduction::Column::ReservationId)
            .order_by_asc(deduction::Column::Sku);
        for model in by_primary_key(select).all(db).await? {
            let corrupt = |what: &str| LedgerError::Corrupt(format!("deduction of {:?}: {what}", model.reservation_id));
            let sku = Sku::parse(&model.sku).map_err(|broken| corrupt(&broken))?;
            let quantity = u32::try_from(model.quantity).map_err(|_| corrupt("quantity"))?;
            lines.entry(model.reservation_id).or_default().push((sku, quantity));
        }
    }
    Ok(lines)
}

/// The fingerprint of the change of supply that was made under this id, if there was one. All of its movements have it.
pub(super) async fn change_made(
    db: &impl ConnectionTrait,
    location: &Location,
    request_id: &RequestId,
) -> Result<Option<String>, LedgerError> {
    let movement = movement::Entity::find()
        .filter(movement::Column::Location.eq(location.as_str()))
        .filter(movement::Column::RequestId.eq(request_id.as_str()))
        .one(db)
        .await?;
    Ok(movement.map(|movement| movement.fingerprint))
}

/// Inserts rows; one that exists already fails as a duplicate key.
pub(super) async fn insert<M, E>(transaction: &DatabaseTransaction, rows: Vec<M>) -> Result<(), DbErr>
where
    E: EntityTrait<Model = M>,
    M: IntoActiveModel<E::ActiveModel> + Send + Sync,
    E::ActiveModel: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send + Sync,
{
    for group in sizes::groups(rows) {
        E::insert_many(group.into_iter().map(IntoActiveModel::into_active_model))
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

/// Writes rows that are known to exist and locked: the one statement of both engines that gives every row its own values.
pub(super) async fn update_stock(transaction: &DatabaseTransaction, rows: Vec<stock::Model>) -> Result<(), DbErr> {
    use stock::Column::{Floor, Location, OnHand, Retired, Sku, Version};
    for group in sizes::groups(rows) {
        let new_values =
            OnConflict::columns([Location, Sku]).update_columns([OnHand, Floor, Version, Retired]).to_owned();
        let rows = group.into_iter().map(IntoActiveModel::into_active_model);
        stock::Entity::insert_many(rows).on_conflict(new_values).exec_without_returning(transaction).await?;
    }
    Ok(())
}
