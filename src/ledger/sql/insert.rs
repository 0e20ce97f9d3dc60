//! Writing: the text of the statements. A packet of them stays far below the 16 MB that MariaDB takes, for a batch has at most a thousand lines or
//! intents, and a change of supply a hundred items.

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{ActiveModelBehavior, ActiveModelTrait, EntityTrait, IntoActiveModel, QueryTrait};

use super::dialect::Dialect;
use super::entity::{deduction, movement, settlement, stock};
use crate::domain::Location;
use crate::ledger::database::{ChangeMade, Writes};

/// All that is to be written, in the order in which everybody writes.
pub(super) fn statements(dialect: Dialect, location: &Location, writes: &Writes<'_>) -> Vec<String> {
    let row = |(sku, row): (&&_, &&_)| stock::Model::new(location, sku, row);
    let all = [
        plain::<settlement::Entity, _>(
            dialect,
            writes.settlements.values().map(|settlement| settlement::Model::new(location, settlement)),
        ),
        plain::<deduction::Entity, _>(dialect, deductions(location, writes)),
        plain::<stock::Entity, _>(dialect, writes.new_rows.iter().map(row)),
        changed_rows(dialect, writes.changed_rows.iter().map(row).collect()),
        writes.change.as_ref().and_then(|change| movements(dialect, location, change)),
    ];
    all.into_iter().flatten().collect()
}

fn deductions(location: &Location, writes: &Writes<'_>) -> impl Iterator<Item = deduction::Model> {
    let lines =
        writes.settlements.iter().flat_map(|(id, settlement)| settlement.lines.iter().map(move |line| (id, line)));
    lines.map(|(id, line)| deduction::Model {
        location: location.as_str().into(),
        reservation_id: id.as_str().into(),
        sku: line.sku.as_str().into(),
        quantity: line.quantity.into(),
        version: writes.changed_rows.get(&line.sku).map_or(0, |row| row.version),
    })
}

/// One that exists already fails as a duplicate key.
fn plain<E, M>(dialect: Dialect, rows: impl Iterator<Item = M>) -> Option<String>
where
    E: EntityTrait<Model = M>,
    M: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + ActiveModelBehavior,
{
    let rows: Vec<_> = rows.map(IntoActiveModel::into_active_model).collect();
    (!rows.is_empty()).then(|| dialect.text(&E::insert_many(rows).into_query()))
}

/// Writes rows that are known to exist and locked: the one statement of both engines that gives every row its own values.
fn changed_rows(dialect: Dialect, rows: Vec<stock::Model>) -> Option<String> {
    use stock::Column::{Floor, Location, OnHand, Retired, Sku, Version};
    let new_values = OnConflict::columns([Location, Sku]).update_columns([OnHand, Floor, Version, Retired]).to_owned();
    let has_rows = !rows.is_empty();
    let rows = rows.into_iter().map(IntoActiveModel::into_active_model);
    has_rows.then(|| dialect.text(&stock::Entity::insert_many(rows).on_conflict(new_values).into_query()))
}

fn movements(dialect: Dialect, location: &Location, change: &ChangeMade<'_>) -> Option<String> {
    use movement::Column::{
        Delta, Fingerprint, Location as AtLocation, OnHand, Position, Reason, RequestId, Sku, Version,
    };
    let mut insert = Query::insert();
    insert.into_table(movement::Entity).columns([
        AtLocation,
        RequestId,
        Position,
        Sku,
        Delta,
        Reason,
        OnHand,
        Version,
        Fingerprint,
    ]);
    for (moved, position) in change.moved.iter().zip(0_i32..) {
        insert.values_panic([
            Expr::val(location.as_str()),
            Expr::val(change.request_id.as_str()),
            Expr::val(position),
            Expr::val(moved.sku.as_str()),
            Expr::val(moved.delta),
            // Names have no control characters, but a reason may have any: as text SQLite ends at a NUL, and sea-query writes \x1a as MySQL does not read it.
            Expr::val(change.reason.as_bytes()).cast_as("char"),
            Expr::val(moved.row.on_hand),
            Expr::val(moved.row.version),
            Expr::val(change.fingerprint),
        ]);
    }
    (!change.moved.is_empty()).then(|| dialect.text(&insert))
}
