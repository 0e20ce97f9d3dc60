//! One transaction that changes supply: the rows and the movements that explain them.

use std::collections::BTreeMap;

use super::change::Change;
use super::clock::Clock;
use super::database::{ChangeMade, Database, Facts, Moved, Reads, Writes};
use super::error::LedgerError;
use crate::domain::{Location, Refusal, RequestId, Sku, StockRow};

/// Applies the change once, however often it is asked for under this id.
pub(super) async fn apply(
    database: &dyn Database,
    clock: &Clock,
    location: &Location,
    request_id: &RequestId,
    change: Change<'_>,
) -> Result<Result<(), Refusal>, LedgerError> {
    let fingerprint = change.fingerprint().to_string();
    let reads = Reads { skus: change.skus().into_iter().collect(), change: Some(request_id), ..Reads::default() };
    let (facts, transaction) = database.begin(location, reads).await?;
    let moved = match decide(&change, &facts, clock.now_micros(facts.now_micros), request_id, &fingerprint) {
        Ok(moved) => moved,
        Err(refusal) => {
            transaction.commit(Writes::default()).await?;
            return Ok(Err(refusal));
        }
    };
    // A new row is inserted and not merged. If another request inserted the same sku first, this one must begin again,
    // because its movement would be wrong.
    let (changed_rows, new_rows) =
        moved.iter().map(|moved| (&moved.sku, &moved.row)).partition(|(sku, _)| facts.rows.contains_key(*sku));
    let change = ChangeMade { request_id, fingerprint: &fingerprint, reason: change.reason(), moved: &moved };
    transaction.commit(Writes { new_rows, changed_rows, change: Some(change), ..Writes::default() }).await?;
    Ok(Ok(()))
}

/// The rows of these skus, read behind their locks: no transaction that has begun before can change them any more, also
/// none whose commit was not answered.
pub(super) async fn rows_behind_locks(
    database: &dyn Database,
    location: &Location,
    skus: &[Sku],
) -> Result<BTreeMap<Sku, StockRow>, LedgerError> {
    let reads = Reads { skus: skus.iter().collect(), ..Reads::default() };
    let (facts, transaction) = database.begin(location, reads).await?;
    transaction.commit(Writes::default()).await?;
    Ok(facts.rows)
}

/// What is to be moved; nothing if that was done already. The facts were read behind the locks, so the second of two
/// equal requests sees the first. Where there was nothing to lock they collide at the key of their first movement, and
/// the second is repeated.
fn decide(
    change: &Change<'_>,
    facts: &Facts,
    now_micros: i64,
    request_id: &RequestId,
    fingerprint: &str,
) -> Result<Vec<Moved>, Refusal> {
    match &facts.change_made {
        None => change.decide(&facts.rows, now_micros),
        Some(made) if made == fingerprint => Ok(Vec::new()),
        Some(_) => Err(Refusal::RequestIdReused(request_id.clone())),
    }
}
