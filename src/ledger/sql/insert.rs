//! Writing: the text of the statements. A packet of them stays far below the 16 MB that MariaDB takes, because a batch
//! has at most a thousand lines or intents, and a change of supply a hundred items.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait, InsertStatement, IntoIden, IntoTableRef, OnConflict, Query};

use super::dialect::Dialect;
use super::entity::{deduction, movement, settlement, stock};
use crate::domain::{Location, Sku, StockRow};
use crate::ledger::database::{ChangeMade, Writes};

/// All that is to be written, in the order that all transactions keep. What exists already fails as a duplicate key,
/// except for the changed rows.
pub(super) fn statements(dialect: Dialect, location: &Location, writes: &Writes<'_>) -> Vec<String> {
    let all = [
        settlements(location, writes),
        deductions(location, writes),
        rows(location, &writes.new_rows),
        changed_rows(location, &writes.changed_rows),
        writes.change.as_ref().and_then(|change| movements(location, change)),
    ];
    all.into_iter().flatten().map(|insert| dialect.text(&insert)).collect()
}

/// One statement for all of these rows; none if there are none.
fn insert<const N: usize>(
    table: impl IntoTableRef,
    columns: [impl IntoIden; N],
    rows: impl Iterator<Item = [Expr; N]>,
) -> Option<InsertStatement> {
    let mut rows = rows.peekable();
    rows.peek()?;
    let mut insert = Query::insert();
    insert.into_table(table).columns(columns);
    // A row has as many values as there are columns.
    rows.for_each(|row| _ = insert.values_panic(row));
    Some(insert)
}

fn settlements(location: &Location, writes: &Writes<'_>) -> Option<InsertStatement> {
    use settlement::Column::{Confirmed, Location, Outcome, ReservationId, Reserved, SettledAtMs};
    let columns = [Location, ReservationId, Outcome, Reserved, Confirmed, SettledAtMs];
    let rows = writes.settlements.iter().map(|(id, settlement)| {
        [
            Expr::val(location.as_str()),
            Expr::val(id.as_str()),
            Expr::val(settlement::word_of(settlement.outcome)),
            Expr::val(settlement.reserved.map(|fingerprint| fingerprint.to_string())),
            Expr::val(settlement.confirmed.map(|fingerprint| fingerprint.to_string())),
            Expr::val(settlement.time_ms.cast_signed()),
        ]
    });
    insert(settlement::Entity, columns, rows)
}

fn deductions(location: &Location, writes: &Writes<'_>) -> Option<InsertStatement> {
    use deduction::Column::{Location, Quantity, ReservationId, Sku, Version};
    let lines =
        writes.settlements.iter().flat_map(|(id, settlement)| settlement.lines.iter().map(move |line| (id, line)));
    let rows = lines.map(|(id, line)| {
        [
            Expr::val(location.as_str()),
            Expr::val(id.as_str()),
            Expr::val(line.sku.as_str()),
            Expr::val(line.quantity),
            Expr::val(writes.changed_rows.get(&line.sku).map_or(0, |row| row.version)),
        ]
    });
    insert(deduction::Entity, [Location, ReservationId, Sku, Quantity, Version], rows)
}

fn rows(location: &Location, rows: &BTreeMap<&Sku, &StockRow>) -> Option<InsertStatement> {
    use stock::Column::{Floor, Location, OnHand, Retired, Sku, Version};
    let rows = rows.iter().map(|(sku, row)| {
        [
            Expr::val(location.as_str()),
            Expr::val(sku.as_str()),
            Expr::val(row.on_hand),
            Expr::val(row.floor),
            Expr::val(row.version),
            Expr::val(row.retired),
        ]
    });
    insert(stock::Entity, [Location, Sku, OnHand, Floor, Version, Retired], rows)
}

/// Writes rows that exist and are locked. It is the one statement of both engines that gives every row its own values.
fn changed_rows(location: &Location, changed: &BTreeMap<&Sku, &StockRow>) -> Option<InsertStatement> {
    use stock::Column::{Floor, Location, OnHand, Retired, Sku, Version};
    let mut insert = rows(location, changed)?;
    insert
        .on_conflict(OnConflict::columns([Location, Sku]).update_columns([OnHand, Floor, Version, Retired]).to_owned());
    Some(insert)
}

fn movements(location: &Location, change: &ChangeMade<'_>) -> Option<InsertStatement> {
    use movement::Column::{Delta, Fingerprint, Location, OnHand, Position, Reason, RequestId, Sku, Version};
    let columns = [Location, RequestId, Position, Sku, Delta, Reason, OnHand, Version, Fingerprint];
    let rows = change.moved.iter().zip(0_i32..).map(|(moved, position)| {
        [
            Expr::val(location.as_str()),
            Expr::val(change.request_id.as_str()),
            Expr::val(position),
            Expr::val(moved.sku.as_str()),
            Expr::val(moved.delta),
            // Names have no control characters, but a reason may have any: as text SQLite ends at a NUL, and sea-query
            // writes \x1a as MySQL does not read it.
            Expr::val(change.reason.as_bytes()).cast_as("char"),
            Expr::val(moved.row.on_hand),
            Expr::val(moved.row.version),
            Expr::val(change.fingerprint),
        ]
    });
    insert(movement::Entity, columns, rows)
}
