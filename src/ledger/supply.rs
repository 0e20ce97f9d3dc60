//! One transaction that changes supply: the rows and the movements that explain them.

use super::LedgerError;
use super::change::Change;
use super::database::Database;
use crate::domain::{Location, Refusal, RequestId};

/// Applies the change once, however often it is asked for under this id.
pub(super) async fn apply(
    database: &dyn Database,
    location: &Location,
    request_id: &RequestId,
    change: Change<'_>,
) -> Result<Result<(), Refusal>, LedgerError> {
    let fingerprint = change.fingerprint().to_string();
    let mut transaction = database.begin().await?;
    let rows = transaction.lock_rows(location, &change.skus()).await?;
    // Looked at behind the locks, so that of two equal requests the second sees the first. If there was nothing to lock, they collide at
    // the key of their first movement, and the second is repeated.
    if let Some(made) = transaction.change_made(location, request_id).await? {
        return Ok(if made == fingerprint { Ok(()) } else { Err(Refusal::RequestIdReused(request_id.clone())) });
    }
    let now_micros = transaction.now_micros().await?;

    let mut moved = match change.decide(&rows, now_micros) {
        Ok(moved) => moved,
        Err(refusal) => return Ok(Err(refusal)),
    };
    // Two requests that create the same skus must meet at the first of them, not crosswise.
    moved.sort_unstable_by(|one, other| one.sku.cmp(&other.sku));

    // A new row is inserted and not merged: whoever was faster with the same sku must make this one begin again, for its movement
    // would be wrong.
    let (changed, new): (Vec<_>, Vec<_>) =
        moved.iter().map(|moved| (&moved.sku, &moved.row)).partition(|(sku, _)| rows.contains_key(*sku));
    transaction.insert_rows(location, &new).await?;
    transaction.update_rows(location, &changed).await?;
    transaction.insert_movements(location, request_id, &fingerprint, change.reason(), &moved).await?;
    transaction.commit().await?;
    Ok(Ok(()))
}
