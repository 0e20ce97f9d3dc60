//! The invariants I1 to I8 over both stores: some are checked after every step of the holds' store, and all of them
//! when the world is quiet.

use std::collections::BTreeMap;

use stockhold::domain::{Location, Outcome, Reservation, ReservationId, Settlement, Sku, State, StockItem, StockRow};
use stockhold::holds::embedded::LocationHolds;
use stockhold::holds::{Command, Reply};

use super::auditor::{Auditor, Key};
use super::operator::nowhere;
use super::world::World;
use crate::support::memory_database::Tables;

/// Units of each sku in these reservations.
pub(crate) fn units<'a>(of: impl Iterator<Item = &'a Reservation>) -> BTreeMap<&'a Sku, i64> {
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

/// Checks one step of the holds' store at the instant of its effect. A call applies all its commands at once, so only
/// the reply to its last command can be compared with the store.
pub(crate) fn after_step(world: &World, location: &Location, command: &Command, reply: &Reply, is_last: bool) {
    let mut found = look(world, location, |place| {
        let mut found = always(world, place);
        if is_last {
            found.extend(what_was_answered_is_true(place, command, reply, world.clock.now_ms()));
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

/// I4 and I5: no hold and no free unit is called short, and stock is told as it is.
fn what_was_answered_is_true(place: &Place, command: &Command, reply: &Reply, now_ms: u64) -> Vec<String> {
    let (records, registers) = (&place.holds.records, &place.holds.registers);
    let live = units(records.values().filter(|record| counts(record, now_ms)));
    let held = |sku: &Sku| live.get(sku).copied().unwrap_or(0);
    match (command, reply) {
        (Command::Begin { id, .. } | Command::Extend { id, .. }, Reply::Short(_))
            if records.get(id).is_none_or(|record| record.state != State::Expired) =>
        {
            vec!["what is held was called short".to_owned()]
        }
        (_, Reply::Short(shortages)) => {
            let free = |sku: &Sku| registers.get(sku).map_or(0, |row| row.available(held(sku)));
            let wrong = shortages.iter().filter(|short| free(&short.sku) >= short.requested);
            wrong.map(|short| format!("I5: {short:?}, but {} are free", free(&short.sku))).collect()
        }
        (_, Reply::Stock(items)) => {
            let is_wrong =
                |item: &&StockItem| registers.get(&item.sku) != Some(&item.row) || item.held != held(&item.sku);
            let tell = |item: &StockItem| {
                let (row, held) = (registers.get(&item.sku), held(&item.sku));
                format!("I4: told {item:?}; the register is {row:?}, held are {held}")
            };
            items.iter().filter(is_wrong).map(tell).collect()
        }
        _ => Vec::new(),
    }
}

/// The invariants that hold at any time.
fn always(world: &World, place: &Place) -> Vec<String> {
    let mut found = held_is_the_sum_of_live_holds(place);
    found.extend(registers_are_not_ahead(place));
    found.extend(registers_are_never_too_generous(world, place));
    found.extend(nothing_is_sold_below_the_floor(place));
    found.extend(tombstones_are_few(world, place));
    found.extend(indexes_lack_nothing(place));
    found
}

/// The tombstones are counted, and never more than they may be.
fn tombstones_are_few(world: &World, place: &Place) -> Vec<String> {
    let is_tombstone = |record: &&Reservation| record.state == State::Cancelled && record.create_ms.is_none();
    let (counted, there) = (place.holds.tombstones, place.holds.records.values().filter(is_tombstone).count());
    if counted == there && there <= world.profile.tombstones_max() {
        return Vec::new();
    }
    vec![format!("{there} tombstones are counted as {counted}, the most are {}", world.profile.tombstones_max())]
}

/// I7: what waits for something is found by those who see to it.
fn indexes_lack_nothing(place: &Place) -> Vec<String> {
    let lacking = place.holds.records.values().filter(|record| match record.state {
        State::Held => place.holds.deadlines.score(&record.id) != record.expire_ms,
        State::Confirming => place.holds.unsettled.score(&record.id).is_none(),
        State::Cancelled => record.end_ms.is_none() && place.holds.unsettled.score(&record.id).is_none(),
        State::Confirmed | State::Expired | State::Rejected => false,
    });
    lacking.map(|record| format!("I7: no index has {record:?}")).collect()
}

/// Whether a reservation counts at this time: it is confirming, or held and not overdue.
pub(crate) fn counts(record: &Reservation, now_ms: u64) -> bool {
    record.state == State::Confirming || (record.state == State::Held && record.expire_ms > Some(now_ms))
}

/// I4. Overdue holds that are not reclaimed yet are still in both sums.
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

/// I1: a row is below its floor only after a change of supply, never after a sale.
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

/// A register promises at most what the ledger has, plus what counts twice because its
/// deduction is committed and its hold not settled yet. A holds' store that lost data and a fall of supply are excused.
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

/// All invariants. No call is under way, and recovery, sweep and sync have had the time to finish.
pub(crate) fn when_quiet(world: &World) {
    let auditor = world.audit(|auditor| auditor.clone());
    let is_kept = world.holds.look(|holds| holds.contains_key(&nowhere()))
        || world.server.look(|tables| tables.settlements.keys().any(|(location, _)| *location == nowhere()));
    if is_kept {
        world.violated("something is kept of a location that does not exist".to_owned());
    }
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

/// I2 and I3: the ledger has what callers were told, and callers asked for what it has.
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

/// I7: `on_hand` is what was supplied less what was sold, and every deduction belongs to an order.
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
            // A confirm was to reacquire it and was short, and the store was away when it should have been told so. No
            // background task tells it later, because nothing is held. Before any caller is told of an expired
            // reservation, the ledger is asked (see `what_the_ledger_rejected_is_not_revived`).
            State::Expired
                if outcome == Some(State::Rejected)
                    && auditor.short.contains(&(place.location.clone(), record.id.clone())) => {}
            // Only a store that lost data can hold what has ended.
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

/// I7: a cancel that freed its units is settled. A confirm that began is deducted, unless it was cancelled or the
/// ledger may refuse it. What the holds' store lost since is excused.
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
            // A confirm that reacquires may find too little. Before it is settled, another one of the same order may
            // find enough and begin.
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

/// What is held in every location, overdue holds not counted.
pub(crate) fn held_everywhere(world: &World) -> BTreeMap<(Location, Sku), i64> {
    let of = |location: &Location| {
        let live = live(world, location);
        let held = units(live.iter()).into_iter();
        held.map(|(sku, units)| ((location.clone(), sku.clone()), units)).collect::<Vec<_>>()
    };
    world.locations.iter().flat_map(of).collect()
}

/// The reservations that count now.
pub(crate) fn live(world: &World, location: &Location) -> Vec<Reservation> {
    let now_ms = world.clock.now_ms();
    look(world, location, |place| {
        place.holds.records.values().filter(|record| counts(record, now_ms)).cloned().collect()
    })
}

/// Once every hold has expired too, nothing is held and no reservation is live.
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
