//! I1 to I8 of the design, over both stores at once: some after every step of the holds' store, all of them when it is
//! quiet.

use std::collections::{BTreeMap, BTreeSet};

use stockhold::domain::{Location, Outcome, Reservation, ReservationId, Settlement, Sku, State, StockRow};
use stockhold::holds::embedded::LocationHolds;
use stockhold::holds::{Command, Reply};

use super::auditor::{Auditor, Key};
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

/// One location in both stores.
fn look<T>(world: &World, location: &Location, at: impl FnOnce(&Place) -> T) -> T {
    let nothing = LocationHolds::default();
    world.holds.look(|holds| {
        let holds = holds.get(location).unwrap_or(&nothing);
        world.server.look(|tables| at(&Place { location, holds, tables }))
    })
}

struct Place<'a> {
    location: &'a Location,
    holds: &'a LocationHolds,
    tables: &'a Tables,
}

impl Place<'_> {
    fn row(&self, sku: &Sku) -> Option<&StockRow> {
        self.tables.stock.get(&(self.location.clone(), sku.clone()))
    }

    fn settled(&self, id: &ReservationId) -> Option<&Settlement> {
        self.tables.settlements.get(&(self.location.clone(), id.clone()))
    }

    fn outcome(&self, id: &ReservationId) -> Option<State> {
        self.settled(id).map(|settlement| settlement.outcome.into())
    }

    fn deducted(&self, id: &ReservationId) -> Vec<(&Sku, u32)> {
        let of_id =
            self.tables.deductions.iter().filter(|((location, of, _), _)| location == self.location && of == id);
        of_id.map(|((_, _, sku), deduction)| (sku, deduction.quantity)).collect()
    }
}

/// After one step of the holds' store, at the very instant of its effect. What was short can only be judged by what
/// there is before the next step, so only behind the last one of a call.
pub(crate) fn after_step(world: &World, location: &Location, command: &Command, reply: &Reply, is_last: bool) {
    let mut found = look(world, location, |place| {
        let mut found = always(world, place);
        let records = &place.holds.records;
        match (command, reply) {
            (Command::Begin { id, .. } | Command::Extend { id, .. }, Reply::Short(_))
                if is_last && records.get(id).is_none_or(|record| record.state != State::Expired) =>
            {
                found.push("what is held was called short".to_owned());
            }
            (_, Reply::Short(shortages)) if is_last => {
                let now_ms = world.clock.now_ms();
                let live = units(records.values().filter(|record| counts(record, now_ms)));
                for short in shortages {
                    let held = live.get(&short.sku).copied().unwrap_or(0);
                    let free = place.holds.registers.get(&short.sku).map_or(0, |row| row.available(held));
                    if free >= short.requested {
                        found.push(format!("I5: {short:?}, but {free} are free"));
                    }
                }
            }
            _ => {}
        }
        found
    });
    match (command, reply) {
        (Command::Begin { .. }, Reply::Accepted(record)) if record.state == State::Confirming => {
            world.audit(|auditor| {
                let key = (location.clone(), record.id.clone());
                auditor.begun.push((key, record.lines.clone(), auditor.losses));
            });
        }
        (Command::Begin { id, .. }, Reply::Short(_)) => world.audit(|auditor| {
            auditor.short.insert((location.clone(), id.clone()));
        }),
        (Command::Cancel { id }, Reply::Accepted(record)) => match record.state {
            State::Cancelled => world.audit(|auditor| {
                auditor.cancelled.push(((location.clone(), id.clone()), auditor.losses));
            }),
            State::Confirming => {}
            state => found.push(format!("a cancel was accepted and left it {state:?}")),
        },
        (_, Reply::More) => world.event("more overdue", &()),
        _ => {}
    }
    for what in found {
        world.violated(format!("after {command:?}, answered {reply:?}: {what}"));
    }
}

/// What is true at any time.
fn always(world: &World, place: &Place) -> Vec<String> {
    let mut found = held_is_the_sum_of_live_holds(place);
    found.extend(registers_are_not_ahead(place));
    found.extend(registers_are_never_too_generous(world, place));
    found.extend(nothing_is_sold_below_the_floor(place));
    found
}

/// Whether a reservation counts: live, and if it is held, in time.
fn counts(record: &Reservation, now_ms: u64) -> bool {
    record.state == State::Confirming || (record.state == State::Held && record.expire_ms > Some(now_ms))
}

/// I4. Overdue holds that nobody reclaimed yet are still in both.
fn held_is_the_sum_of_live_holds(place: &Place) -> Vec<String> {
    let live = units(place.holds.records.values().filter(|record| record.state.is_live()));
    let held = place.holds.held.iter().filter(|(_, held)| held.units != 0);
    let held = held.map(|(sku, held)| (sku, held.units)).collect();
    if live == held { Vec::new() } else { vec![format!("I4: held is {held:?}, live holds have {live:?}")] }
}

/// I6, its first half.
fn registers_are_not_ahead(place: &Place) -> Vec<String> {
    let ahead = place.holds.registers.iter().filter(|(sku, register)| {
        place
            .row(sku)
            .is_none_or(|row| register.version > row.version || (register.version == row.version && *register != row))
    });
    let tell = |(sku, register)| format!("I6: the register of {sku} is {register:?}, its row {:?}", place.row(sku));
    ahead.map(tell).collect()
}

/// I1: whatever is below its floor came there by a change of supply.
fn nothing_is_sold_below_the_floor(place: &Place) -> Vec<String> {
    let below = place.tables.rows(place.location).filter(|(_, row)| row.on_hand < row.floor);
    let sold = below.filter(|(sku, row)| {
        let deductions = &mut place.tables.deductions.iter();
        deductions.any(|((location, _, s), deduction)| {
            location == place.location && s == *sku && deduction.version == row.version
        })
    });
    sold.map(|(sku, row)| format!("I1: {sku} was sold below its floor: {row:?}")).collect()
}

/// Section 1 of the design: a register promises at most what the ledger has, but for confirms whose deduction it has
/// and whose hold still counts. Not once the holds' store has lost something, or supply fell.
fn registers_are_never_too_generous(world: &World, place: &Place) -> Vec<String> {
    let (losses, fell) = world.audit(|auditor| (auditor.losses, auditor.fell.clone()));
    if losses > 0 {
        return Vec::new();
    }
    let deducted =
        |record: &&Reservation| record.state.is_live() && place.outcome(&record.id) == Some(State::Confirmed);
    let counted_twice = units(place.holds.records.values().filter(deducted));
    let generous = place.holds.registers.iter().filter_map(|(sku, register)| {
        let row = place.row(sku)?;
        let twice = counted_twice.get(sku).copied().unwrap_or(0);
        let is_excused = fell.contains(&(place.location.clone(), sku.clone()));
        (!is_excused && register.on_hand - register.floor > row.on_hand - row.floor + twice)
            .then(|| format!("I1: the register of {sku} is {register:?}, its row {row:?}, on their way are {twice}"))
    });
    generous.collect()
}

/// All invariants, when no call is under way and recovery, sweep and sync have had their time.
pub(crate) fn when_quiet(world: &World) {
    let auditor = world.audit(|auditor| auditor.clone());
    for location in &world.locations {
        let mut found = look(world, location, |place| {
            let mut found = always(world, place);
            found.extend(what_was_told_is_settled(&auditor, place));
            found.extend(the_books_balance(&auditor, place));
            found.extend(registers_are_rows(place));
            found.extend(nothing_is_left_over(&auditor, place));
            found.extend(what_was_begun_is_done(&auditor, place));
            found
        });
        found.sort();
        for what in found {
            world.violated(format!("when quiet, in {location:?}: {what}"));
        }
    }
}

/// I2 and I3: what callers were told is what the ledger has, and what it has was asked for.
fn what_was_told_is_settled(auditor: &Auditor, place: &Place) -> Vec<String> {
    let mut found = Vec::new();
    for order in auditor.orders.iter().filter(|order| order.key.0 == *place.location) {
        let (id, outcome) = (&order.key.1, place.outcome(&order.key.1));
        if order.told.end.is_some() && order.told.end != outcome {
            found.push(format!("I3: told {:?}, settled {outcome:?}: {order:?}", order.told.end));
        }
        let expected = order.confirms().iter().map(|line| (&line.sku, line.quantity));
        let expected: Vec<_> = expected.filter(|_| outcome == Some(State::Confirmed)).collect();
        if place.deducted(id) != expected {
            found.push(format!("I2: deducted {:?}, expected {expected:?}: {order:?}", place.deducted(id)));
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
    found
}

/// I7: what was supplied less what was sold is what there is, and every deduction has its settlement.
fn the_books_balance(auditor: &Auditor, place: &Place) -> Vec<String> {
    let books = place.tables.rows(place.location).map(|(sku, _)| place.tables.book(place.location, sku));
    let unbalanced = books.filter(|book| book.on_hand != book.moved - book.deducted);
    let mut found: Vec<_> = unbalanced.map(|book| format!("I7: the books do not balance: {book:?}")).collect();
    for ((location, id, _), deduction) in &place.tables.deductions {
        if location == place.location && auditor.order(location, id).is_none() {
            found.push(format!("I2: nobody ordered {id}: {deduction:?}"));
        }
    }
    found
}

/// I6, its second half.
fn registers_are_rows(place: &Place) -> Vec<String> {
    let others = place.holds.registers.iter().filter(|(sku, register)| place.row(sku) != Some(register));
    let tell = |(sku, register)| format!("I6: the register of {sku} is {register:?}, its row {:?}", place.row(sku));
    others.map(tell).collect()
}

/// I7: nothing is unsettled, and the indexes fit the records.
fn nothing_is_left_over(auditor: &Auditor, place: &Place) -> Vec<String> {
    let holds = place.holds;
    let unsettled = holds.unsettled.iter().map(|entry| format!("I7: {entry:?} is unsettled"));
    let unknown = holds.deadlines.iter().filter(|(_, id)| !holds.records.contains_key(id));
    let unknown = unknown.map(|(_, id)| format!("I7: a deadline of {id}, which is unknown"));
    let mut found: Vec<_> = unsettled.chain(unknown).collect();
    for record in holds.records.values() {
        let should = (record.state == State::Held).then_some(record.expire_ms).flatten();
        if holds.deadlines.score(&record.id) != should {
            found.push(format!("I7: the deadlines do not fit {record:?}"));
        }
        let will_be_forgotten = holds.ended.iter().any(|(_, ids)| ids.contains(&record.id));
        if !record.state.is_live() && !will_be_forgotten {
            found.push(format!("I7: what is forgotten in time does not fit {record:?}"));
        }
        let outcome = place.outcome(&record.id);
        let order = auditor.order(place.location, &record.id);
        match record.state {
            State::Confirming => found.push(format!("I7: still confirming: {record:?}")),
            State::Confirmed | State::Cancelled | State::Rejected if Some(record.state) != outcome => {
                found.push(format!("I7: the ledger has {outcome:?} of {record:?}"));
            }
            // It was to be taken again, was short, and the store was away when it should have been told so. Unasked
            // nobody tells it later: nothing is held, and before anybody is told of an expired reservation the ledger
            // is asked (see `what_the_ledger_rejected_is_not_revived`).
            State::Expired
                if outcome == Some(State::Rejected)
                    && auditor.short.contains(&(place.location.clone(), record.id.clone())) => {}
            // Only a store that forgot can hold what has ended.
            State::Held | State::Expired
                if outcome.is_some() && !order.is_some_and(|order| auditor.may_have_forgotten(order)) =>
            {
                found.push(format!("I7: the ledger has {outcome:?} of {record:?}"));
            }
            _ => {}
        }
    }
    found
}

/// I7: a cancel that freed its units is settled, and what a confirm began with was deducted, unless it was cancelled,
/// or the ledger may refuse it; but for what the holds' store lost since.
fn what_was_begun_is_done(auditor: &Auditor, place: &Place) -> Vec<String> {
    let mut found = Vec::new();
    let here = |key: &Key| key.0 == *place.location;
    for (key, losses_before) in auditor.cancelled.iter().filter(|(key, _)| here(key)) {
        if place.settled(&key.1).is_none() && auditor.losses == *losses_before {
            found.push(format!("I7: the cancel of {key:?} was never settled"));
        }
    }
    for (key, lines, losses_before) in auditor.begun.iter().filter(|(key, ..)| here(key)) {
        let (settlement, order) = (place.settled(&key.1), auditor.order(&key.0, &key.1));
        let is_done = match settlement.map(|settlement| settlement.outcome) {
            Some(Outcome::Confirmed) => settlement.is_some_and(|settlement| settlement.lines == *lines),
            Some(Outcome::Cancelled) => order.is_some_and(|order| order.sent_cancels > 0),
            // One that reacquires may find nothing left, and another of its kind then find something, before the first
            // is settled.
            Some(Outcome::Rejected) => auditor.may_lack(&key.0, lines) || auditor.short.contains(key),
            None => auditor.losses > *losses_before,
        };
        if !is_done {
            found.push(format!("I7: a confirm began with {lines:?} and became {settlement:?}: {order:?}"));
        }
    }
    let rejected = place
        .tables
        .settlements
        .iter()
        .filter(|(key, settled)| here(key) && settled.outcome == Outcome::Rejected && !auditor.short.contains(key));
    for (key, settled) in rejected {
        if !auditor.order(&key.0, &key.1).is_some_and(|order| auditor.may_lack(&key.0, &order.lines)) {
            found.push(format!("I7: rejected although nothing was short: {settled:?}"));
        }
    }
    found
}

/// What is held in every location.
pub(crate) fn held_everywhere(world: &World) -> BTreeMap<(Location, Sku), i64> {
    let of = |location: &Location| {
        let held = held(world, location);
        held.into_iter().map(|(sku, units)| ((location.clone(), sku), units)).collect::<Vec<_>>()
    };
    world.locations.iter().flat_map(of).collect()
}

/// What is held of each sku, overdue holds not counted.
pub(crate) fn held(world: &World, location: &Location) -> BTreeMap<Sku, i64> {
    let now_ms = world.clock.now_ms();
    look(world, location, |place| {
        let live = units(place.holds.records.values().filter(|record| counts(record, now_ms)));
        live.into_iter().map(|(sku, units)| (sku.clone(), units)).collect()
    })
}

/// The reservations that count.
pub(crate) fn live(world: &World, location: &Location) -> BTreeSet<ReservationId> {
    let now_ms = world.clock.now_ms();
    look(world, location, |place| {
        let live = place.holds.records.values().filter(|record| counts(record, now_ms));
        live.map(|record| record.id.clone()).collect()
    })
}

/// When the time of every hold is over as well, nothing is held and nobody is live.
pub(crate) fn when_over(world: &World) {
    for location in &world.locations {
        look(world, location, |place| {
            if let Some((sku, held)) = place.holds.held.iter().find(|(_, held)| held.units != 0) {
                world.violated(format!("I7: {held:?} of {sku} leaked"));
            }
            if let Some(record) = place.holds.records.values().find(|record| record.state.is_live()) {
                world.violated(format!("I7: {record:?} leaked"));
            }
        });
    }
}
