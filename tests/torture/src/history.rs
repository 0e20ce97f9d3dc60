//! Checks the linearizability of all calls on one sku: some sequence of them exists in which a sequential service gives
//! the same answers, and in which each call takes effect between its invocation and its answer. A call that was never
//! answered may take effect at any time after its invocation, or never. The search is that of Wing and Gong: it tries
//! every call that may come next, and remembers the states it has visited.
//!
//! The sku is fresh: it begins with `on_hand` units, floor 0, nothing held. Nothing expires, Redis loses no data, and
//! each order always asks for the same units. [`Shop`] is the sequential service. It allows more than a single store
//! would, because the two stores learn of a change one after the other:
//!
//! - A confirm is in the ledger before Redis drops the hold. If another settlement or a sync brings the lower `on_hand`
//!   to Redis in between, the units count twice for a moment. Then the free units are told **too low**, never too high,
//!   and a Reserve may be refused although there is enough. This ends when the Confirm is answered, or when recovery
//!   has told Redis. The checker allows it until an answer shows that it has ended; then it cannot begin again.
//! - Where a Cancel meets a Confirm that has begun, the ledger decides first. If Redis cannot be told, a Confirm or
//!   Reserve may learn that the order is cancelled while the Cancel is not answered and its units are not free yet.
//! - `CONFIRMING` means "not known to be durable". That stays true while the ledger is away. It also means "begun": an
//!   order that was told to be `CONFIRMING` is never told to be `HELD` again.
//!
//! Everything else is exact: no unit is held twice, a final word stays true, and only a Cancel makes more units free.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The refusal of a cancelled order, by its `ErrorInfo` reason.
const CANCELLED: &str = "RESERVATION_CANCELLED";

/// The refusal of a confirmed order.
const CONFIRMED: &str = "RESERVATION_CONFIRMED";

/// The refusal of an unknown order.
const NOT_FOUND: &str = "RESERVATION_NOT_FOUND";

/// How many calls a window may have.
const CALLS_MAX: usize = 128;

/// The search gives up after this many states. A window that needs more has too many callers or too many lost answers.
const PLACES_MAX: usize = 20_000;

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Hold units for an order.
    Reserve {
        /// Which order.
        order: usize,
        /// How many units: the same in every call for this order, and more than 0.
        units: u32,
    },
    /// Deduct all that the order holds.
    Confirm {
        /// Which order.
        order: usize,
    },
    /// Give it back for good.
    Cancel {
        /// Which order.
        order: usize,
    },
    /// How many units are free?
    Available,
}

impl Op {
    fn order(self) -> Option<usize> {
        match self {
            Op::Reserve { order, .. } | Op::Confirm { order } | Op::Cancel { order } => Some(order),
            Op::Available => None,
        }
    }
}

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ret {
    /// OK, `HELD`.
    Held,
    /// OK, `CONFIRMING`: the answer to a repeated Reserve.
    Confirming,
    /// OK, `CONFIRMED`.
    Confirmed,
    /// OK, `CANCELLED`.
    Cancelled,
    /// How many units are free.
    Available(i64),
    /// `INSUFFICIENT_STOCK`.
    Short,
    /// Any other refusal, by its `ErrorInfo` reason.
    Refused(String),
    /// An error that says that nothing was done: `STORE_UNAVAILABLE` or `OVERLOADED`.
    NothingDone,
}

/// A call that waits for its answer. Dropping it means that the outcome stays unknown.
#[must_use = "without it no answer can be recorded"]
#[derive(Debug)]
pub(crate) struct Invocation(usize);

/// What concurrent callers asked and were told, in the order of time.
pub(crate) struct History {
    on_hand: u32,
    begun: Instant,
    past: Mutex<Past>,
}

#[derive(Clone, Default)]
struct Past {
    calls: Vec<Call>,
    /// How many invocations and answers there were.
    moments: usize,
}

#[derive(Clone)]
struct Call {
    op: Op,
    invoked: Moment,
    answer: Option<(Moment, Ret)>,
}

/// A number, which alone decides what was earlier, and the time since the beginning, to be read by people.
type Moment = (usize, Duration);

impl History {
    /// The history of a fresh sku.
    pub(crate) fn new(on_hand: u32) -> Self {
        Self { on_hand, begun: Instant::now(), past: Mutex::default() }
    }

    /// Must be called before the request is sent.
    pub(crate) fn invoke(&self, op: Op) -> Invocation {
        let mut past = self.past();
        let invoked = self.now(&mut past);
        past.calls.push(Call { op, invoked, answer: None });
        Invocation(past.calls.len() - 1)
    }

    /// Must be called after the answer was received. Must not be called if there is no answer, or one that leaves the
    /// outcome unknown.
    pub(crate) fn returned(&self, invocation: Invocation, ret: Ret) {
        let mut past = self.past();
        let told = self.now(&mut past);
        past.calls[invocation.0].answer = Some((told, ret));
    }

    /// Whether all answers can be true. The error shows the whole history.
    pub(crate) fn check(&self) -> Result<(), String> {
        let calls = self.past().calls.clone();
        check(self.on_hand, &calls).map_err(|reason| format!("{reason}\n{}", self.tell(&calls)))
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        // A caller that panicked in here left nothing half done.
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self, past: &mut Past) -> Moment {
        past.moments += 1;
        (past.moments, self.begun.elapsed())
    }

    fn tell(&self, calls: &[Call]) -> String {
        let mut events = Vec::new();
        for (number, Call { op, invoked, answer }) in calls.iter().enumerate() {
            events.push((*invoked, format!("#{number} {op:?}")));
            events.extend(answer.as_ref().map(|(told, ret)| (*told, format!("#{number}   -> {ret:?}"))));
        }
        events.sort();
        let mut text = format!("a sku with {} on hand:\n", self.on_hand);
        for ((_, at), event) in events {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:9.3} ms  {event}", at.as_secs_f64() * 1000.0);
        }
        for (number, call) in calls.iter().enumerate().filter(|(_, call)| call.answer.is_none()) {
            let _ = writeln!(text, " unknown for ever  #{number} {:?}", call.op);
        }
        text
    }
}

/// A state of the search: the calls that were served so far, one bit each, and the shop after them.
fn check(on_hand: u32, calls: &[Call]) -> Result<(), String> {
    if calls.len() > CALLS_MAX {
        return Err(format!("NOT CHECKED: {} calls, more than {CALLS_MAX}", calls.len()));
    }
    let numbers = |served: u128| (0..calls.len()).filter(move |number| served & (1 << number) == 0);
    let nothing_done = |number: &usize| matches!(calls[*number].answer, Some((_, Ret::NothingDone)));
    let begin = (numbers(0).filter(nothing_done).map(|number| 1 << number).sum(), Shop::new(on_hand));
    let (mut open, mut seen) = (vec![begin.clone()], HashSet::from([begin]));
    let mut fewest_left: Option<Vec<usize>> = None;
    while let Some((served, shop)) = open.pop() {
        let left: Vec<_> = numbers(served).filter(|number| calls[*number].answer.is_some()).collect();
        // A call that was invoked after another one was answered is served after it.
        let answers = left.iter().filter_map(|number| Some(calls[*number].answer.as_ref()?.0));
        let Some(first_answer) = answers.min() else { return Ok(()) };
        let may_be_next = || numbers(served).filter(|number| calls[*number].invoked <= first_answer);
        let confirm_was_asked = |order| {
            let may_have_begun = |call: &Call| {
                let is_asked = call.op == Op::Confirm { order } && call.invoked <= first_answer;
                is_asked && !matches!(call.answer, Some((_, Ret::NothingDone)))
            };
            calls.iter().any(may_have_begun)
        };
        let cancel_meets_confirm =
            |order| may_be_next().any(|number| calls[number].op == Op::Cancel { order }) && confirm_was_asked(order);
        let after = |number: usize| {
            let Call { op, answer, .. } = &calls[number];
            let ret = answer.as_ref().map(|(_, ret)| ret);
            let after = shop.after(*op, ret, confirm_was_asked, cancel_meets_confirm)?;
            Some((served | 1 << number, after))
        };
        let mut places: Vec<_> = may_be_next().filter_map(after).collect();
        // A call that changes nothing is served at once, without losing a solution.
        if let Some(idle) = places.iter().position(|(_, after)| *after == shop) {
            places = vec![places.swap_remove(idle)];
        }
        open.extend(places.into_iter().filter(|place| seen.insert(place.clone())));
        if seen.len() > PLACES_MAX {
            return Err(format!("NOT CHECKED: too many calls at once, {PLACES_MAX} orders of them were tried"));
        }
        if fewest_left.as_ref().is_none_or(|fewest| fewest.len() > left.len()) {
            fewest_left = Some(left);
        }
    }
    let left = fewest_left.unwrap_or_default();
    let left: Vec<_> = left.iter().map(|number| format!("#{number}")).collect();
    Err(format!(
        "NOT LINEARIZABLE: no order of these calls explains every answer; the best one leaves {}",
        left.join(", ")
    ))
}

/// The sku in a shop that serves one caller at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shop {
    /// On hand, less what is held.
    free: i64,
    orders: BTreeMap<usize, Order>,
    /// Confirmed units that no answer has shown to count twice. They may still do so.
    once: i64,
    /// Confirmed units that counted twice when they were last seen. They may count twice still, or never again.
    twice: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Order {
    Held(u32),
    /// A caller was told that a Confirm has begun. That is final.
    Begun(u32),
    /// The ledger has its Cancel, and callers were told. Its units are not free yet.
    Cancelling(u32),
    Confirmed,
    Cancelled,
}

impl Shop {
    fn new(on_hand: u32) -> Self {
        Self { free: on_hand.into(), orders: BTreeMap::new(), once: 0, twice: 0 }
    }

    /// The shop after a call was served, if it can give this answer. Without an answer, the shop after the call took
    /// effect; none for a call without an effect, since serving it would change nothing.
    fn after(
        &self,
        op: Op,
        ret: Option<&Ret>,
        confirm_was_asked: impl Fn(usize) -> bool,
        cancel_meets_confirm: impl Fn(usize) -> bool,
    ) -> Option<Self> {
        use Order::{Begun, Cancelled, Cancelling, Confirmed, Held};
        let mut after = self.clone();
        let refused = |reason: &str| matches!(ret, Some(Ret::Refused(refused)) if refused == reason);
        let is = |expected: Ret| ret == Some(&expected);
        let is_or_unknown = |expected: Ret| ret.is_none() || is(expected);
        match (op, op.order().and_then(|order| self.orders.get(&order)).copied()) {
            (Op::Reserve { units, .. }, None) if is(Ret::Short) => {
                after.see_twice(self.free - i64::from(units) + 1, i64::MAX)?;
            }
            (Op::Reserve { order, units }, None) if is_or_unknown(Ret::Held) => {
                after.see_twice(0, self.free - i64::from(units))?;
                after.free -= i64::from(units);
                after.orders.insert(order, Held(units));
            }
            (Op::Reserve { .. }, Some(Held(_))) if is(Ret::Held) => {}
            (Op::Reserve { order, .. }, Some(Held(units))) if is(Ret::Confirming) && confirm_was_asked(order) => {
                after.orders.insert(order, Begun(units));
            }
            (Op::Reserve { .. }, Some(Begun(_))) if is(Ret::Confirming) => {}
            (Op::Reserve { .. }, Some(Cancelling(_))) if refused(CANCELLED) || is(Ret::Confirming) => {}
            (Op::Reserve { .. }, Some(Confirmed)) if is(Ret::Confirmed) || is(Ret::Confirming) => {}
            (Op::Reserve { .. }, Some(Cancelled)) if refused(CANCELLED) => {}

            (Op::Confirm { .. }, None) if refused(NOT_FOUND) => {}
            (Op::Confirm { order }, Some(Held(units) | Begun(units))) if is_or_unknown(Ret::Confirmed) => {
                after.orders.insert(order, Confirmed);
                after.once += i64::from(units);
            }
            (Op::Confirm { .. }, Some(Confirmed)) if is(Ret::Confirmed) => {}
            (Op::Confirm { .. }, Some(Cancelling(_) | Cancelled)) if refused(CANCELLED) => {}

            (Op::Reserve { order, .. } | Op::Confirm { order }, Some(Held(units) | Begun(units)))
                if refused(CANCELLED) && cancel_meets_confirm(order) =>
            {
                after.orders.insert(order, Cancelling(units));
            }

            (Op::Cancel { order }, None) if is_or_unknown(Ret::Cancelled) => {
                after.orders.insert(order, Cancelled);
            }
            (Op::Cancel { order }, Some(Held(units) | Begun(units) | Cancelling(units)))
                if is_or_unknown(Ret::Cancelled) =>
            {
                after.orders.insert(order, Cancelled);
                after.free += i64::from(units);
            }
            (Op::Cancel { .. }, Some(Cancelled)) if is(Ret::Cancelled) => {}
            (Op::Cancel { .. }, Some(Confirmed)) if refused(CONFIRMED) => {}

            (Op::Available, _) => match *ret? {
                // A negative number of free units is told as 0.
                Ret::Available(0) => after.see_twice(self.free, i64::MAX)?,
                Ret::Available(told) => after.see_twice(self.free - told, self.free - told)?,
                _ => return None,
            },
            _ => return None,
        }
        Some(after)
    }

    /// An answer shows that at least and at most this many units count twice. None if that is impossible. Units that
    /// were seen to count twice before come first, and as many as possible, so that everything that is still possible
    /// stays possible.
    fn see_twice(&mut self, at_least: i64, at_most: i64) -> Option<()> {
        let at_least = at_least.max(0);
        if at_least > at_most || at_least > self.once + self.twice {
            return None;
        }
        let twice = self.twice.clamp(at_least, at_most);
        self.once -= (twice - self.twice).max(0);
        self.twice = twice;
        Some(())
    }
}

#[cfg(test)]
mod tests;
