//! One transaction that changes supply: the rows and the movements that explain them.

use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter};

use super::change::Change;
use super::dialect::Dialect;
use super::entity::{movement, stock};
use super::{LedgerError, tables};
use crate::domain::{Location, Refusal, RequestId};

/// Applies the change once, however often it is asked for under this id.
pub(super) async fn apply(
    db: DatabaseConnection,
    dialect: Dialect,
    location: &Location,
    request_id: &RequestId,
    change: Change<'_>,
) -> Result<Result<(), Refusal>, LedgerError> {
    let fingerprint = change.fingerprint().to_string();
    let transaction = tables::begin(&db).await?;
    let rows = tables::lock_stock(&transaction, location, &change.skus()).await?;
    // Looked at behind the locks, so that of two equal requests the second sees the first. If there was nothing to lock, they collide at
    // the key of their first movement, and the second is repeated.
    let before = movement::Entity::find()
        .filter(movement::Column::Location.eq(location.as_str()))
        .filter(movement::Column::RequestId.eq(request_id.as_str()))
        .one(&transaction)
        .await?;
    if let Some(before) = before {
        let same = before.fingerprint == fingerprint;
        return Ok(if same { Ok(()) } else { Err(Refusal::RequestIdReused(request_id.clone())) });
    }
    let now_micros = tables::now_micros(&transaction, dialect).await?;

    let mut moved = match change.decide(&rows, now_micros) {
        Ok(moved) => moved,
        Err(refusal) => return Ok(Err(refusal)),
    };
    // Two requests that create the same skus must meet at the first of them, not crosswise.
    moved.sort_unstable_by(|one, other| one.sku.cmp(&other.sku));

    // A new row is inserted and not merged: whoever was faster with the same sku must make this one begin again, for its movement
    // would be wrong.
    let (changed, new): (Vec<_>, Vec<_>) = moved.iter().partition(|moved| rows.contains_key(&moved.sku));
    let models =
        |of: Vec<&super::change::Moved>| of.into_iter().map(|m| stock::Model::new(location, &m.sku, &m.row)).collect();
    tables::insert::<_, stock::Entity>(&transaction, models(new)).await?;
    tables::update_stock(&transaction, models(changed)).await?;
    let movements = moved.iter().zip(0..).map(|(moved, position)| movement::Model {
        location: location.as_str().into(),
        request_id: request_id.as_str().into(),
        position,
        sku: moved.sku.as_str().into(),
        delta: moved.delta,
        reason: change.reason().into(),
        on_hand: moved.row.on_hand,
        version: moved.row.version,
        fingerprint: fingerprint.clone(),
    });
    tables::insert::<_, movement::Entity>(&transaction, movements.collect()).await?;
    transaction.commit().await?;
    Ok(Ok(()))
}
