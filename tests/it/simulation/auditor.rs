//! Records what callers were told, and judges whether it can be true.
//!
//! The auditor knows each order's lines, its requests, and every answer. It judges an answer by what callers had been
//! told before the request was sent, because the effects of concurrent requests may have any order. Only two final
//! words that contradict each other are wrong in any order.

use std::collections::BTreeSet;

use stockhold::domain::{Lines, Location, Reservation, ReservationId, Sku, State};
use stockhold::service::{Error, LatePolicy};

use super::world::World;
use crate::support::holds::id;
use crate::support::service::name_of;

/// One call.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Reserve { lines: Lines, ttl_ms: u64 },
    Confirm { part: Option<Lines>, late: LatePolicy },
    Cancel,
    Extend { expire_ms: u64, late: LatePolicy },
    Get,
}

/// Identifies an order in both stores.
pub(crate) type Key = (Location, ReservationId);

/// One order: its requests, and what its callers were told.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) key: Key,
    /// What its reserves ask for, except those that reuse its id on purpose.
    pub(crate) lines: Lines,
    /// What its confirms ask for, except those that contradict on purpose.
    pub(crate) part: Option<Lines>,
    /// The `ttl` of its reserves.
    ttl_ms: u64,
    /// How often the holds' store had lost data when the order was opened. Those losses did not touch it.
    losses: usize,
    sent_reserves: usize,
    /// How many confirms went out, without those that were answered that nothing was done.
    pub(crate) sent_confirms: usize,
    /// The same for cancels.
    pub(crate) sent_cancels: usize,
    /// The expire times that its extends asked for.
    sent_expire_ms: Vec<u64>,
    pub(crate) told: Told,
    /// The requests that were answered OK.
    pub(crate) accepted: Vec<Request>,
}

/// What callers of an order may rely on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// The latest expire time that was told, by the clock of the holds' store.
    pub(crate) held_until_ms: Option<u64>,
    /// The losses of the holds' store when the request went out that was answered so. A later loss may have taken the
    /// hold.
    losses: usize,
    /// The final word: `Confirmed`, `Cancelled` or `Rejected`.
    pub(crate) end: Option<State>,
}

/// The state of the world when a request went out.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    pub(crate) told: Told,
    losses: usize,
    holds_failures: usize,
    ledger_is_away: bool,
    /// The holds' store had it as held.
    is_held: bool,
}

#[derive(Clone)]
pub(crate) struct Auditor {
    pub(crate) orders: Vec<Order>,
    /// The world forgets ended reservations after seconds.
    forgets: bool,
    /// How often the holds' store lost data.
    pub(crate) losses: usize,
    /// Skus whose supply fell: at some time there may have been less than was held.
    pub(crate) fell: BTreeSet<(Location, Sku)>,
    /// Confirms that began: the order, its lines, and the losses before.
    pub(crate) begun: Vec<(Key, Lines, usize)>,
    /// Reservations whose stock was gone when a confirm began.
    pub(crate) short: BTreeSet<Key>,
    /// Cancels that the holds' store accepted, and the losses before.
    pub(crate) cancelled: Vec<(Key, usize)>,
}

impl Auditor {
    pub(crate) fn new(forgets: bool) -> Self {
        let (orders, losses, fell) = (Vec::new(), 0, BTreeSet::new());
        let (begun, short, cancelled) = (Vec::new(), BTreeSet::new(), Vec::new());
        Self { orders, forgets, losses, fell, begun, short, cancelled }
    }

    /// Opens a new order and answers its number. Both locations use the same ids.
    pub(crate) fn open(&mut self, location: &Location, lines: Lines, part: Option<Lines>, ttl_ms: u64) -> usize {
        let number = self.orders.len();
        let there = self.orders.iter().filter(|order| order.key.0 == *location).count();
        let key = (location.clone(), id(&format!("order-{there}")));
        let (losses, sent_reserves, sent_confirms, sent_cancels) = (self.losses, 0, 0, 0);
        let (sent_expire_ms, told, accepted) = (Vec::new(), Told::default(), Vec::new());
        self.orders.push(Order {
            key,
            lines,
            part,
            ttl_ms,
            losses,
            sent_reserves,
            sent_confirms,
            sent_cancels,
            sent_expire_ms,
            told,
            accepted,
        });
        number
    }

    pub(crate) fn order(&self, location: &Location, id: &ReservationId) -> Option<&Order> {
        self.orders.iter().find(|order| order.key.0 == *location && order.key.1 == *id)
    }

    /// Whether the holds' store may have forgotten anything.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.forgets || self.losses > 0
    }

    /// Whether the holds' store may have forgotten how this order ended. Then the order may be held once more until its
    /// deadline, but is never deducted twice.
    pub(crate) fn may_have_forgotten(&self, order: &Order) -> bool {
        self.forgets || self.losses > order.losses
    }

    /// Whether the ledger may refuse these lines although they were held.
    pub(crate) fn may_lack(&self, location: &Location, lines: &Lines) -> bool {
        self.losses > 0 || lines.skus().any(|sku| self.fell.contains(&(location.clone(), sku.clone())))
    }
}

impl Order {
    pub(crate) fn confirms(&self) -> &Lines {
        self.part.as_ref().unwrap_or(&self.lines)
    }
}

/// Records that a request goes out, and answers the state of the world.
pub(crate) fn sent(world: &World, order: usize, request: &Request) -> Before {
    world.event("request", &(order, request));
    let (holds_failures, ledger_is_away) = (world.holds_failures(), world.storm().ledger_is_away());
    let is_held = is_held(world, order);
    world.audit(|auditor| {
        let losses = auditor.losses;
        let order = &mut auditor.orders[order];
        match request {
            Request::Confirm { .. } => order.sent_confirms += 1,
            Request::Cancel => order.sent_cancels += 1,
            Request::Extend { expire_ms, .. } => order.sent_expire_ms.push(*expire_ms),
            Request::Reserve { .. } => order.sent_reserves += 1,
            Request::Get => {}
        }
        Before { told: order.told.clone(), losses, holds_failures, ledger_is_away, is_held }
    })
}

/// Judges an answer.
pub(crate) fn told(
    world: &World,
    number: usize,
    request: &Request,
    before: &Before,
    answer: &Result<Reservation, Error>,
) {
    let word = match answer {
        Ok(reservation) => format!("{:?}", reservation.state),
        Err(Error::Refused(refusal)) => name_of(refusal).into(),
        Err(error) => format!("{error:?}"),
    };
    world.event("answer", &(number, request, &word));
    let wrong = match answer {
        Ok(reservation) => accepted(world, number, request, before, reservation),
        Err(Error::Refused(refusal)) => refused(world, number, request, &before.told, name_of(refusal)),
        Err(Error::Internal(cause)) => Err(format!("a bug: {cause:?}")),
        Err(Error::Overloaded) if matches!(request, Request::Confirm { .. } | Request::Cancel) => {
            nothing_was_done(world, number, request);
            Ok(())
        }
        Err(Error::Unavailable(_) | Error::Overloaded) => {
            nothing_was_done(world, number, request);
            goes_on(world, number, request, before)
        }
        Err(Error::OutcomeUnknown(_)) => goes_on(world, number, request, before),
    };
    let needs_no_ledger = matches!(request, Request::Reserve { .. } | Request::Extend { .. });
    if answer.is_ok() && needs_no_ledger && before.ledger_is_away && world.storm().ledger_is_away() {
        world.event("went on without the ledger", &number);
    }
    if answer.is_ok() {
        world.audit(|auditor| auditor.orders[number].accepted.push(request.clone()));
    }
    if let Err(why) = wrong {
        let order = world.audit(|auditor| auditor.orders[number].clone());
        world.violated(format!("{request:?} was answered {word}: {why}; told before: {before:?}; {order:?}"));
    }
}

/// Takes the request back: nothing may happen because of it.
fn nothing_was_done(world: &World, number: usize, request: &Request) {
    world.audit(|auditor| match request {
        Request::Confirm { .. } => auditor.orders[number].sent_confirms -= 1,
        Request::Cancel => auditor.orders[number].sent_cancels -= 1,
        Request::Reserve { .. } | Request::Extend { .. } | Request::Get => {}
    });
}

type Judgement = Result<(), String>;

/// When the ledger is away (`docs/promises.md`): a request that needs only the holds' store succeeds while that store
/// answers, and a cancel frees the units at once.
fn goes_on(world: &World, number: usize, request: &Request, before: &Before) -> Judgement {
    let (order, forgets) = world.audit(|auditor| {
        let order = auditor.orders[number].clone();
        (order.clone(), auditor.may_have_forgotten(&order))
    });
    if before.holds_failures != world.holds_failures() || forgets {
        return Ok(());
    }
    match request {
        // If it was not held before, a Reserve may have come in between.
        Request::Cancel if before.is_held && is_held(world, number) => Err("its units are still held".into()),
        Request::Cancel => Ok(()),
        // An order that may have ended needs the ledger's word.
        _ if order.sent_confirms + order.sent_cancels > 0 => Ok(()),
        // A store that was emptied reads its registers from the ledger.
        Request::Reserve { .. } if order.sent_reserves == 1 && before.losses == 0 => {
            Err("only the ledger is away".into())
        }
        Request::Reserve { .. } | Request::Extend { .. } | Request::Get
            if is_surely_known(world, number, &before.told) =>
        {
            Err("only the ledger is away, and it is held".into())
        }
        _ => Ok(()),
    }
}

fn is_held(world: &World, number: usize) -> bool {
    let (location, id) = world.audit(|auditor| auditor.orders[number].key.clone());
    world.holds.look(|holds| {
        let record = holds.get(&location).and_then(|holds| holds.records.get(&id));
        record.is_some_and(|record| record.state == State::Held)
    })
}

fn accepted(world: &World, number: usize, request: &Request, before: &Before, answer: &Reservation) -> Judgement {
    let (order, forgets) = world.audit(|auditor| {
        let order = auditor.orders[number].clone();
        (order.clone(), auditor.may_have_forgotten(&order))
    });
    if answer.id != order.key.1 {
        return Err("another reservation".into());
    }
    match (request, answer.state) {
        (Request::Reserve { lines, .. }, _) if *lines != order.lines => {
            return Err("its id was used with other lines".into());
        }
        (Request::Confirm { part, .. }, _) if *part != order.part => {
            return Err("it contradicts an earlier confirm".into());
        }
        (Request::Reserve { .. } | Request::Extend { .. } | Request::Get, State::Held)
        | (Request::Reserve { .. } | Request::Extend { .. } | Request::Get, State::Confirming)
        | (Request::Reserve { .. } | Request::Get | Request::Confirm { .. }, State::Confirmed)
        | (Request::Cancel | Request::Get, State::Cancelled | State::Rejected)
        | (Request::Get, State::Expired) => {}
        (_, state) => return Err(format!("{state:?} is no answer to it")),
    }
    if let Some(end) = before.told.end
        && answer.state != end
        && !(answer.state.is_live() && forgets)
        // `CONFIRMING` is also true of what was confirmed. It is all that is known while the ledger is away, also of
        // what the ledger has as cancelled and the holds' store was not told of.
        && !(answer.state == State::Confirming && (end == State::Confirmed || before.ledger_is_away))
    {
        return Err(format!("{end:?} had been told"));
    }
    if matches!(answer.state, State::Confirming | State::Confirmed) && answer.lines != *order.confirms() {
        return Err(format!("other lines: {:?}", answer.lines));
    }
    match answer.state {
        State::Held => held(world, number, request, before, answer),
        State::Confirming if order.sent_confirms > 0 => Ok(()),
        State::Confirming => Err("nobody confirmed".into()),
        State::Confirmed | State::Cancelled | State::Rejected => ended(world, number, answer.state),
        State::Expired => expired(world, number, &before.told),
    }
}

fn held(world: &World, number: usize, request: &Request, before: &Before, answer: &Reservation) -> Judgement {
    let Some(expire_ms) = answer.expire_ms else { return Err("without an expire time".into()) };
    if let Request::Extend { expire_ms: wanted, .. } = request
        && expire_ms < *wanted
    {
        return Err(format!("extended to {expire_ms} only"));
    }
    world.audit(|auditor| {
        let order = &auditor.orders[number];
        let at_first_ms = answer.create_ms.map(|create_ms| create_ms + order.ttl_ms);
        if at_first_ms != Some(expire_ms) && !order.sent_expire_ms.contains(&expire_ms) {
            return Err("nobody asked for that expire time".into());
        }
        let losses = before.losses;
        let nothing_was_lost = before.told.losses == losses && losses == auditor.losses && !auditor.forgets;
        if nothing_was_lost && before.told.held_until_ms > Some(expire_ms) {
            return Err("it had been told to be held for longer".into());
        }
        let told = &mut auditor.orders[number].told;
        if told.losses < losses {
            (told.held_until_ms, told.losses) = (None, losses);
        }
        if told.losses == losses {
            told.held_until_ms = told.held_until_ms.max(Some(expire_ms));
        }
        if answer.lines != auditor.orders[number].lines {
            return Err(format!("other lines: {:?}", answer.lines));
        }
        Ok(())
    })
}

/// Judges a final word. A caller must have asked for it, and it must be the only one.
fn ended(world: &World, number: usize, end: State) -> Judgement {
    let key = world.audit(|auditor| auditor.orders[number].key.clone());
    let settled = world.server.look(|tables| tables.settlements.get(&key).map(|settlement| settlement.outcome.into()));
    if settled != Some(end) {
        return Err(format!("the ledger has {settled:?}"));
    }
    world.audit(|auditor| {
        let order = &mut auditor.orders[number];
        let possible = match end {
            State::Cancelled => order.sent_cancels > 0,
            _ => order.sent_confirms > 0,
        };
        match order.told.end {
            Some(told) if told != end => return Err(format!("{told:?} had been told")),
            _ => order.told.end = Some(end),
        }
        if possible { Ok(()) } else { Err("nobody can have asked for it".into()) }
    })
}

/// Whether an order that was told to be held must still be held, or have an end that is remembered.
fn is_surely_known(world: &World, number: usize, before: &Told) -> bool {
    let (losses, may_have_ended) = world.audit(|auditor| {
        let order = &auditor.orders[number];
        (auditor.losses, order.sent_confirms + order.sent_cancels > 0)
    });
    let may_be_forgotten = before.losses != losses || (world.profile.forgets && may_have_ended);
    !may_be_forgotten && before.held_until_ms > Some(world.clock.latest_ms())
}

fn expired(world: &World, number: usize, before: &Told) -> Judgement {
    match (before.end, is_surely_known(world, number, before)) {
        (Some(end), _) => Err(format!("{end:?} had been told")),
        (None, true) => Err("its time is not over".into()),
        (None, false) => Ok(()),
    }
}

fn refused(world: &World, number: usize, request: &Request, before: &Told, refusal: &'static str) -> Judgement {
    let auditor = world.audit(|auditor| auditor.clone());
    let order = &auditor.orders[number];
    let (location, _) = &order.key;
    let still_known = before.held_until_ms.is_some() && before.losses == auditor.losses && !auditor.forgets;
    match (refusal, request) {
        ("cancelled", _) => ended(world, number, State::Cancelled),
        ("confirmed", Request::Cancel | Request::Extend { .. }) => ended(world, number, State::Confirmed),
        ("rejected", Request::Confirm { .. } | Request::Reserve { .. } | Request::Extend { .. }) => {
            ended(world, number, State::Rejected)
        }
        (
            "expired",
            Request::Confirm { late: LatePolicy::Reject, .. } | Request::Reserve { .. } | Request::Extend { .. },
        ) => expired(world, number, before),
        ("not found", Request::Confirm { .. } | Request::Extend { .. } | Request::Get) => {
            match (before.end, still_known) {
                (Some(end), _) => Err(format!("{end:?} had been told")),
                (None, true) => Err("it had been told as held".into()),
                (None, false) => Ok(()),
            }
        }
        ("short", Request::Reserve { .. } | Request::Extend { late: LatePolicy::Reacquire, .. }) => {
            match (before.end, is_surely_known(world, number, before)) {
                (Some(end), _) if !auditor.may_have_forgotten(order) => Err(format!("{end:?} had been told")),
                (None, true) => Err("it is held".into()),
                _ => Ok(()),
            }
        }
        ("id reused", Request::Reserve { lines, .. }) if *lines != order.lines => Ok(()),
        ("mismatch", Request::Confirm { part, .. }) if *part != order.part => Ok(()),
        (
            "retired",
            Request::Reserve { .. } | Request::Confirm { late: LatePolicy::Reacquire, .. } | Request::Extend { .. },
        ) if order.lines.skus().any(|sku| auditor.fell.contains(&(location.clone(), sku.clone()))) => Ok(()),
        _ => Err("it cannot be refused so".into()),
    }
}
