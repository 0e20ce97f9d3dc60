//! I1 to I8 of the design, over both stores at once: some after every step of the holds' store, all of them when it is quiet.

use std::collections::{BTreeMap, BTreeSet};

use stockhold::domain::{Outcome, Reservation, ReservationId, Sku, State};
use stockhold::holds::embedded::LocationHolds;
use stockhold::holds::{Command, Reply};

use super::auditor::may_have_forgotten;
use super::world::World;
use crate::support::memory_database::Tables;

/// Units of each sku in these reservations.
fn units<'a>(of: impl Iterator<Item = &'a Reservation>) -> BTreeMap<&'a Sku, i64> {
    let mut units = BTreeMap::new();
    for line in of.flat_map(|reservation| reservation.lines.iter()) {
        *units.entry(&line.sku).or_default() += i64::from(line.quantity);
    }
    units
}

/// The world's location in both stores.
fn look<T>(world: &World, at: impl FnOnce(&LocationHolds, &Tables) -> T) -> T {
    let nothing = LocationHolds::default();
    world.holds.look(|holds| world.server.look(|tables| at(holds.get(&world.location).unwrap_or(&nothing), tables)))
}

/// After one step of the holds' store, at the very instant of its effect.
pub(crate) fn after_step(world: &World, command: &Command, reply: &Reply) {
    let mut found = Vec::new();
    look(world, |holds, tables| {
        found.extend(held_is_the_sum_of_live_holds(holds));
        found.extend(registers_are_not_ahead(world, holds, tables));
        found.extend(registers_are_never_too_generous(world, holds, tables));
        found.extend(nothing_is_sold_below_the_floor(world, tables));
        match (command, reply) {
            (Command::Begin { id, .. } | Command::Extend { id, .. }, Reply::Short(_))
                if holds.records.get(id).is_none_or(|record| record.state != State::Expired) =>
            {
                found.push("what is held was called short".to_owned());
            }
            (_, Reply::Short(shortages)) => {
                let now_ms = world.clock.now_ms();
                let live = units(holds.records.values().filter(|record| counts(record, now_ms)));
                for short in shortages {
                    let held = live.get(&short.sku).copied().unwrap_or(0);
                    let free = holds.registers.get(&short.sku).map_or(0, |row| row.available(held));
                    if free >= short.requested {
                        found.push(format!("I5: {short:?}, but {free} are free"));
                    }
                }
            }
            _ => {}
        }
    });
    if let (Command::Begin { .. }, Reply::Accepted(record)) = (command, reply)
        && record.state == State::Confirming
    {
        world.audit(|auditor| {
            let losses = auditor.losses;
            auditor.begun.push((record.id.clone(), record.lines.clone(), losses));
        });
    }
    match (command, reply) {
        (Command::Begin { id, .. }, Reply::Short(_)) => world.audit(|auditor| {
            auditor.short.insert(id.clone());
        }),
        (_, Reply::More) => world.event("more overdue", &()),
        _ => {}
    }
    if let (Command::Cancel { id }, Reply::Accepted(record)) = (command, reply) {
        if !matches!(record.state, State::Cancelled | State::Confirming) {
            found.push(format!("a cancel was accepted and left it {:?}", record.state));
        }
        if record.state == State::Cancelled {
            world.audit(|auditor| auditor.cancelled.push((id.clone(), auditor.losses)));
        }
    }
    for what in found {
        world.violated(format!("after {command:?}, answered {reply:?}: {what}"));
    }
}

/// Whether a reservation counts: live, and if it is held, in time.
fn counts(record: &Reservation, now_ms: u64) -> bool {
    record.state == State::Confirming || (record.state == State::Held && record.expire_ms > Some(now_ms))
}

/// I4. Overdue holds that nobody reclaimed yet are still in both.
fn held_is_the_sum_of_live_holds(holds: &LocationHolds) -> Vec<String> {
    let live = units(holds.records.values().filter(|record| record.state.is_live()));
    let held = holds.held.iter().filter(|(_, held)| held.units != 0).map(|(sku, held)| (sku, held.units)).collect();
    if live == held { Vec::new() } else { vec![format!("I4: held is {held:?}, live holds have {live:?}")] }
}

/// I6, its first half.
fn registers_are_not_ahead(world: &World, holds: &LocationHolds, tables: &Tables) -> Vec<String> {
    let row = |sku: &Sku| tables.stock.get(&(world.location.clone(), sku.clone()));
    let ahead = holds.registers.iter().filter(|(sku, register)| {
        row(sku)
            .is_none_or(|row| register.version > row.version || (register.version == row.version && *register != row))
    });
    ahead.map(|(sku, register)| format!("I6: the register of {sku} is {register:?}, its row {:?}", row(sku))).collect()
}

/// I1: whatever is below its floor came there by a change of supply.
fn nothing_is_sold_below_the_floor(world: &World, tables: &Tables) -> Vec<String> {
    let below = tables.rows(&world.location).filter(|(_, row)| row.on_hand < row.floor);
    let sold = below.filter(|(sku, row)| {
        tables
            .deductions
            .iter()
            .any(|((location, _, s), version)| *location == world.location && s == *sku && *version == row.version)
    });
    sold.map(|(sku, row)| format!("I1: {sku} was sold below its floor: {row:?}")).collect()
}

/// Section 1 of the design: a register promises at most what the ledger has, but for confirms whose deduction it has and whose hold still counts. Not once the holds'
/// store has lost something, or supply fell.
fn registers_are_never_too_generous(world: &World, holds: &LocationHolds, tables: &Tables) -> Vec<String> {
    if world.audit(|auditor| auditor.losses > 0 || auditor.supply_fell) {
        return Vec::new();
    }
    let deducted = |record: &&Reservation| {
        let settled = tables.settlements.get(&(world.location.clone(), record.id.clone()));
        record.state.is_live() && settled.is_some_and(|settlement| settlement.outcome == Outcome::Confirmed)
    };
    let counted_twice = units(holds.records.values().filter(deducted));
    let generous = holds.registers.iter().filter_map(|(sku, register)| {
        let row = tables.stock.get(&(world.location.clone(), sku.clone()))?;
        let twice = counted_twice.get(sku).copied().unwrap_or(0);
        (register.on_hand - register.floor > row.on_hand - row.floor + twice)
            .then(|| format!("I1: the register of {sku} is {register:?}, its row {row:?}, on their way are {twice}"))
    });
    generous.collect()
}

/// All invariants, when no call is under way and recovery, sweep and sync have had their time.
pub(crate) fn when_quiet(world: &World) {
    let mut found = Vec::new();
    let (orders, begun, cancelled) =
        world.audit(|auditor| (auditor.orders.clone(), auditor.begun.clone(), auditor.cancelled.clone()));
    let (losses, supply_fell, short) =
        world.audit(|auditor| (auditor.losses, auditor.supply_fell, auditor.short.clone()));
    look(world, |holds, tables| {
        found.extend(held_is_the_sum_of_live_holds(holds));
        found.extend(registers_are_not_ahead(world, holds, tables));
        found.extend(nothing_is_sold_below_the_floor(world, tables));
        found.extend(registers_are_never_too_generous(world, holds, tables));
        let settled = |id: &ReservationId| tables.settlements.get(&(world.location.clone(), id.clone()));

        // I2 and I3: what callers were told is what the ledger has.
        for order in &orders {
            let settlement = settled(&order.id);
            let outcome = settlement.map(|settlement| State::from(settlement.outcome));
            if order.told.end.is_some() && order.told.end != outcome {
                found.push(format!("I3: told {:?}, settled {outcome:?}: {order:?}", order.told.end));
            }
            let lines = settlement.map(|settlement| settlement.lines.clone()).unwrap_or_default();
            if outcome == Some(State::Confirmed) && lines != *order.confirms() {
                found.push(format!("I2: deducted {lines:?}: {order:?}"));
            }
            let asked = match outcome {
                Some(State::Confirmed | State::Rejected) => order.sent_confirms > 0,
                Some(State::Cancelled) => order.sent_cancels > 0,
                _ => true,
            };
            if !asked {
                found.push(format!("I3: nobody asked for {outcome:?}: {order:?}"));
            }
        }
        for ((_, id), settlement) in &tables.settlements {
            if settlement.outcome == Outcome::Rejected && !(supply_fell || losses > 0 || short.contains(id)) {
                found.push(format!("I7: rejected although nothing was short: {settlement:?}"));
            }
            let deducted = tables.deductions.keys().filter(|(_, of, _)| of == id).count();
            if deducted != settlement.lines.len() {
                found.push(format!("I2: {deducted} deductions of {settlement:?}"));
            }
        }

        // I6 and I7: nothing is left over.
        for (sku, register) in &holds.registers {
            let row = tables.stock.get(&(world.location.clone(), sku.clone()));
            if row != Some(register) {
                found.push(format!("I6: the register of {sku} is {register:?}, its row {row:?}"));
            }
        }
        for (sku, _) in tables.rows(&world.location) {
            let book = tables.book(&world.location, sku);
            if book.on_hand != book.moved - book.deducted {
                found.push(format!("I7: the books do not balance: {book:?}"));
            }
        }
        if let Some(entry) = holds.unsettled.iter().next() {
            found.push(format!("I7: {entry:?} is unsettled"));
        }
        for record in holds.records.values() {
            let should = (record.state == State::Held).then_some(record.expire_ms).flatten();
            if holds.deadlines.score(&record.id) != should {
                found.push(format!("I7: the deadlines do not fit {record:?}"));
            }
            if holds.forget.score(&record.id).is_some() == record.state.is_live() {
                found.push(format!("I7: what is forgotten in time does not fit {record:?}"));
            }
            let outcome = settled(&record.id).map(|settlement| State::from(settlement.outcome));
            match record.state {
                State::Confirming => found.push(format!("I7: still confirming: {record:?}")),
                State::Confirmed | State::Cancelled | State::Rejected if Some(record.state) != outcome => {
                    found.push(format!("I7: the ledger has {outcome:?} of {record:?}"));
                }
                // Only a store that went back can hold what has ended.
                State::Held | State::Expired if outcome.is_some() && !may_have_forgotten(world) => {
                    found.push(format!("I7: the ledger has {outcome:?} of {record:?}"));
                }
                _ => {}
            }
        }
        if let Some((_, id)) = holds.deadlines.iter().find(|(_, id)| !holds.records.contains_key(id)) {
            found.push(format!("I7: a deadline of {id}, which is unknown"));
        }

        // I7: a cancel that freed its units is settled, unless the holds' store forgot it.
        for (id, losses_before) in &cancelled {
            if settled(id).is_none() && losses == *losses_before {
                found.push(format!("I7: the cancel of {id} was never settled"));
            }
        }
        // I7: whatever a confirm began with was deducted, unless it was cancelled, or the ledger may refuse it.
        for (id, lines, losses_before) in &begun {
            let settlement = settled(id);
            let order = orders.iter().find(|order| order.id == *id);
            let may_be_cancelled = order.is_some_and(|order| order.sent_cancels > 0);
            let excused = match settlement.map(|settlement| settlement.outcome) {
                Some(Outcome::Confirmed) => settlement.is_some_and(|settlement| settlement.lines == *lines),
                Some(Outcome::Cancelled) => may_be_cancelled,
                // One that reacquires may find nothing left, and another of its kind then find something, before the first is settled.
                Some(Outcome::Rejected) => supply_fell || losses > 0 || short.contains(id),
                None => losses > *losses_before,
            };
            if !excused {
                found.push(format!("I7: a confirm began with {lines:?} and became {settlement:?}: {order:?}"));
            }
        }
    });
    for what in found {
        world.violated(format!("when quiet: {what}"));
    }
}

/// What is held of each sku, overdue holds not counted.
pub(crate) fn held(world: &World) -> BTreeMap<Sku, i64> {
    let now_ms = world.clock.now_ms();
    look(world, |holds, _| {
        let live = units(holds.records.values().filter(|record| counts(record, now_ms)));
        live.into_iter().map(|(sku, units)| (sku.clone(), units)).collect()
    })
}

/// The reservations that count.
pub(crate) fn live(world: &World) -> BTreeSet<ReservationId> {
    let now_ms = world.clock.now_ms();
    look(world, |holds, _| {
        let live = holds.records.values().filter(|record| counts(record, now_ms));
        live.map(|record| record.id.clone()).collect()
    })
}

/// When the time of every hold is over as well, nothing is held and nobody is live.
pub(crate) fn when_over(world: &World) {
    look(world, |holds, _| {
        if let Some((sku, held)) = holds.held.iter().find(|(_, held)| held.units != 0) {
            world.violated(format!("I7: {held:?} of {sku} leaked"));
        }
        if let Some(record) = holds.records.values().find(|record| record.state.is_live()) {
            world.violated(format!("I7: {record:?} leaked"));
        }
    });
}
