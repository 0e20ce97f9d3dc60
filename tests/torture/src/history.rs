//! Whether what callers were told of one sku can be true: is there one order of all calls, each somewhere between its invocation and its
//! answer, in which a shop with a single till would have given the same answers? (Linearizability, by the search of Wing and Gong: try every call that
//! may come next, remember where one has been.) A call whose answer never came took effect at any time after its invocation, or never.
//!
//! The sku is fresh: it begins with `on_hand` units, floor 0, nothing held. Nothing expires, Redis loses no data, and each order always asks for the same
//! units. The shop is [`Shop`]. It is not quite exact, because stockhold does not promise to be where two stores have to be told the same thing:
//!
//! - A confirm is in the ledger before Redis drops the hold. If another settlement or a sync brings the lower `on_hand` to Redis in between, the units are
//!   counted twice for a moment: what is free is then told **too low**, never too high, and a Reserve may be refused though there is enough. The moment is over
//!   when the Confirm is answered, unless Redis could not be told; then recovery ends it. So it is open here until what is told shows that it is over;
//!   it does not come back.
//! - Where a Cancel meets a Confirm that has begun, the ledger decides first. If Redis cannot be told, a Confirm or Reserve is answered that the order is
//!   cancelled before the Cancel, which is not answered yet, has freed the units.
//! - `CONFIRMING` says "not known to be durable", which stays true when the ledger, which knows, is away.
//!
//! All else is exact: no unit is held twice, what is told of an end stays true, and what is free rises by a Cancel only.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The refusal of an order that was given back, by its `ErrorInfo` reason.
const CANCELLED: &str = "RESERVATION_CANCELLED";

/// That of one that was deducted.
const CONFIRMED: &str = "RESERVATION_CONFIRMED";

/// That of one that was never seen.
const NOT_FOUND: &str = "RESERVATION_NOT_FOUND";

/// The longest window.
const CALLS_MAX: usize = 128;

/// Where the search gives up: a window that needs more has too many callers, or too many calls without an answer.
const PLACES_MAX: usize = 20_000;

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Hold units for an order.
    Reserve {
        /// Which.
        order: usize,
        /// The same in every call for this order, more than 0.
        units: u32,
    },
    /// Deduct all that the order holds.
    Confirm {
        /// Which.
        order: usize,
    },
    /// Give it back for good.
    Cancel {
        /// Which.
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
    /// OK, `CONFIRMING`: a Reserve that was repeated.
    Confirming,
    /// OK, `CONFIRMED`.
    Confirmed,
    /// OK, `CANCELLED`.
    Cancelled,
    /// So many are free.
    Available(i64),
    /// `INSUFFICIENT_STOCK`.
    Short,
    /// Any other refusal, by its `ErrorInfo` reason.
    Refused(String),
    /// An error that promises that nothing was done: `STORE_UNAVAILABLE` or `OVERLOADED`.
    NothingDone,
}

/// A call whose answer is awaited. To lose it is to say that the outcome stays unknown.
#[must_use = "without it no answer can be recorded"]
#[derive(Debug)]
pub(crate) struct Invocation(usize);

/// What concurrent callers asked and were told, in order of time.
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

/// Its number, which alone tells what was earlier, and when it was since the beginning.
type Moment = (usize, Duration);

impl History {
    /// Nothing happened yet to a fresh sku.
    pub(crate) fn new(on_hand: u32) -> Self {
        Self { on_hand, begun: Instant::now(), past: Mutex::default() }
    }

    /// To be called before the request is sent.
    pub(crate) fn invoke(&self, op: Op) -> Invocation {
        let mut past = self.past();
        let invoked = self.now(&mut past);
        past.calls.push(Call { op, invoked, answer: None });
        Invocation(past.calls.len() - 1)
    }

    /// To be called after the answer was received; never if none was, or one that says that the outcome is not known.
    pub(crate) fn returned(&self, invocation: Invocation, ret: Ret) {
        let mut past = self.past();
        let told = self.now(&mut past);
        past.calls[invocation.0].answer = Some((told, ret));
    }

    /// Whether all that was told can be true. The error shows the whole history.
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

/// The search: a place is which calls were served so far, a bit each, and the shop after them.
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
        let cancel_meets_confirm = |order| {
            let is_confirm = |call: &Call| call.op == Op::Confirm { order } && call.invoked <= first_answer;
            may_be_next().any(|number| calls[number].op == Op::Cancel { order }) && calls.iter().any(is_confirm)
        };
        let after = |number: usize| {
            let Call { op, answer, .. } = &calls[number];
            let after = shop.after(*op, answer.as_ref().map(|(_, ret)| ret), cancel_meets_confirm)?;
            Some((served | 1 << number, after))
        };
        let mut places: Vec<_> = may_be_next().filter_map(after).collect();
        // What changes nothing can as well be served at once.
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
    /// Confirmed units that nobody saw counted twice: they may still be.
    once: i64,
    /// Confirmed units that were seen counted twice the last time that somebody looked: they may be so still, or never again.
    twice: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Order {
    Held(u32),
    /// The ledger has its Cancel, and callers were told; its units are not free yet.
    Cancelling(u32),
    Confirmed,
    Cancelled,
}

impl Shop {
    fn new(on_hand: u32) -> Self {
        Self { free: on_hand.into(), orders: BTreeMap::new(), once: 0, twice: 0 }
    }

    /// The shop after a call was served, if it could give this answer; without one, the shop after the call had its effect. What has none is never
    /// worth trying without an answer.
    fn after(&self, op: Op, ret: Option<&Ret>, cancel_meets_confirm: impl Fn(usize) -> bool) -> Option<Self> {
        use Order::{Cancelled, Cancelling, Confirmed, Held};
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
            (Op::Reserve { .. }, Some(Held(_))) if is(Ret::Held) || is(Ret::Confirming) => {}
            (Op::Reserve { .. }, Some(Cancelling(_))) if refused(CANCELLED) || is(Ret::Confirming) => {}
            (Op::Reserve { .. }, Some(Confirmed)) if is(Ret::Confirmed) || is(Ret::Confirming) => {}
            (Op::Reserve { .. }, Some(Cancelled)) if refused(CANCELLED) => {}

            (Op::Confirm { .. }, None) if refused(NOT_FOUND) => {}
            (Op::Confirm { order }, Some(Held(units))) if is_or_unknown(Ret::Confirmed) => {
                after.orders.insert(order, Confirmed);
                after.once += i64::from(units);
            }
            (Op::Confirm { .. }, Some(Confirmed)) if is(Ret::Confirmed) => {}
            (Op::Confirm { .. }, Some(Cancelling(_) | Cancelled)) if refused(CANCELLED) => {}

            (Op::Reserve { order, .. } | Op::Confirm { order }, Some(Held(units)))
                if refused(CANCELLED) && cancel_meets_confirm(order) =>
            {
                after.orders.insert(order, Cancelling(units));
            }

            (Op::Cancel { order }, None) if is_or_unknown(Ret::Cancelled) => {
                after.orders.insert(order, Cancelled);
            }
            (Op::Cancel { order }, Some(Held(units) | Cancelling(units))) if is_or_unknown(Ret::Cancelled) => {
                after.orders.insert(order, Cancelled);
                after.free += i64::from(units);
            }
            (Op::Cancel { .. }, Some(Cancelled)) if is(Ret::Cancelled) => {}
            (Op::Cancel { .. }, Some(Confirmed)) if refused(CONFIRMED) => {}

            (Op::Available, _) => match *ret? {
                // What is negative is told as 0.
                Ret::Available(0) => after.see_twice(self.free, i64::MAX)?,
                Ret::Available(told) => after.see_twice(self.free - told, self.free - told)?,
                _ => return None,
            },
            _ => return None,
        }
        Some(after)
    }

    /// Somebody saw that the units counted twice are at least and at most so many; none if they cannot be. Those that were seen before come
    /// first, and as many as can be: so everything that is possible from here on stays possible.
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
mod tests {
    use std::time::{Duration, Instant};

    use super::Op::{self, Available, Cancel, Confirm, Reserve};
    use super::Ret::{self, Confirming, Held, Short};
    use super::{History, Invocation};

    const ONE: Op = Reserve { order: 1, units: 1 };
    const TWO: Op = Reserve { order: 2, units: 1 };

    fn refused(reason: &str) -> Ret {
        Ret::Refused(reason.into())
    }

    fn free(units: i64) -> Ret {
        Ret::Available(units)
    }

    /// Calls that follow each other.
    fn calls(history: &History, calls: impl IntoIterator<Item = (Op, Ret)>) {
        for (op, ret) in calls {
            let invocation = history.invoke(op);
            history.returned(invocation, ret);
        }
    }

    /// Calls of which nobody hears again.
    fn lost(history: &History, op: Op) {
        let _: Invocation = history.invoke(op);
    }

    /// Calls at the same time.
    fn together<const N: usize>(history: &History, calls: [(Op, Ret); N]) {
        let invocations = calls.map(|(op, ret)| (history.invoke(op), ret));
        for (invocation, ret) in invocations {
            history.returned(invocation, ret);
        }
    }

    fn yes(history: &History) {
        history.check().unwrap_or_else(|error| panic!("{error}"));
    }

    fn no(history: &History) {
        let error = history.check().expect_err("it is not linearizable");
        assert!(error.starts_with("NOT LINEARIZABLE"), "{error}");
    }

    #[test]
    fn a_life_without_company() {
        let history = History::new(3);
        calls(
            &history,
            [
                (Confirm { order: 1 }, refused("RESERVATION_NOT_FOUND")),
                (Reserve { order: 1, units: 2 }, Held),
                (Reserve { order: 1, units: 2 }, Held),
                (Available, free(1)),
                (Reserve { order: 2, units: 2 }, Short),
                (Confirm { order: 1 }, Ret::Confirmed),
                (Confirm { order: 1 }, Ret::Confirmed),
                (Reserve { order: 1, units: 2 }, Ret::Confirmed),
                (Cancel { order: 1 }, refused("RESERVATION_CONFIRMED")),
                (Available, free(1)),
                (Reserve { order: 3, units: 1 }, Held),
                (Cancel { order: 3 }, Ret::Cancelled),
                (Cancel { order: 3 }, Ret::Cancelled),
                (Available, free(1)),
                (Reserve { order: 3, units: 1 }, refused("RESERVATION_CANCELLED")),
                (Confirm { order: 3 }, refused("RESERVATION_CANCELLED")),
                (Cancel { order: 4 }, Ret::Cancelled),
                (Reserve { order: 4, units: 1 }, refused("RESERVATION_CANCELLED")),
            ],
        );
        yes(&history);
    }

    #[test]
    fn the_last_unit_is_held_once() {
        let history = History::new(1);
        together(&history, [(ONE, Held), (TWO, Short)]);
        yes(&history);
        let history = History::new(1);
        together(&history, [(ONE, Held), (TWO, Held)]);
        no(&history);
        let history = History::new(1);
        together(&history, [(ONE, Held), (TWO, Held), (Cancel { order: 1 }, Ret::Cancelled)]);
        yes(&history);
    }

    #[test]
    fn what_is_free_rises_by_a_cancel_only() {
        let history = History::new(5);
        calls(&history, [(ONE, Held), (Available, free(4)), (Available, free(5))]);
        no(&history);
        let history = History::new(5);
        calls(&history, [(ONE, Held), (Available, free(4))]);
        together(&history, [(Cancel { order: 1 }, Ret::Cancelled), (Available, free(5)), (Available, free(4))]);
        yes(&history);
        calls(&history, [(Available, free(4))]);
        no(&history);
    }

    #[test]
    fn confirmed_and_cancelled_exclude_each_other() {
        let history = History::new(5);
        calls(&history, [(ONE, Held)]);
        together(&history, [(Confirm { order: 1 }, Ret::Confirmed), (Cancel { order: 1 }, Ret::Cancelled)]);
        no(&history);
        let history = History::new(5);
        calls(&history, [(ONE, Held), (Cancel { order: 1 }, Ret::Cancelled), (Confirm { order: 1 }, Ret::Confirmed)]);
        no(&history);
        let history = History::new(5);
        calls(&history, [(ONE, Held)]);
        let confirm = (Confirm { order: 1 }, Ret::Confirmed);
        together(&history, [(Cancel { order: 1 }, refused("RESERVATION_CONFIRMED")), confirm]);
        yes(&history);
    }

    #[test]
    fn it_is_not_short_while_units_are_free() {
        let history = History::new(2);
        together(&history, [(ONE, Held), (TWO, Short)]);
        no(&history);
    }

    #[test]
    fn a_reserve_without_an_answer_may_have_been_served_at_any_later_time_or_never() {
        for later in [Short, Held] {
            let history = History::new(1);
            lost(&history, ONE);
            calls(&history, [(Available, free(1)), (TWO, later)]);
            yes(&history);
        }
        // But its units cannot be free after they were seen to be held: it had to be it that took them.
        let history = History::new(1);
        lost(&history, ONE);
        calls(&history, [(TWO, Short), (Available, free(1))]);
        no(&history);
    }

    #[test]
    fn a_cancel_without_an_answer_explains_free_units_and_a_refusal() {
        let history = History::new(1);
        calls(&history, [(ONE, Held)]);
        lost(&history, Cancel { order: 1 });
        calls(&history, [(Available, free(0)), (Available, free(1)), (ONE, refused("RESERVATION_CANCELLED"))]);
        yes(&history);
        calls(&history, [(Confirm { order: 1 }, Ret::Confirmed)]);
        no(&history);
        // It cannot be what it does not know of.
        let history = History::new(1);
        calls(&history, [(ONE, Held), (Available, free(1))]);
        lost(&history, Cancel { order: 1 });
        no(&history);
    }

    #[test]
    fn a_confirm_without_an_answer_may_win_or_not() {
        for (told, possible) in [
            (vec![(Cancel { order: 1 }, refused("RESERVATION_CONFIRMED"))], true),
            (vec![(Cancel { order: 1 }, Ret::Cancelled)], true),
            (vec![(Cancel { order: 1 }, Ret::Cancelled), (ONE, Ret::Confirmed)], false),
            (vec![(ONE, Confirming), (ONE, Ret::Confirmed), (ONE, Confirming), (Available, free(0))], true),
            (vec![(ONE, Ret::Confirmed), (ONE, Held)], false),
        ] {
            let history = History::new(1);
            calls(&history, [(ONE, Held)]);
            lost(&history, Confirm { order: 1 });
            calls(&history, told.clone());
            assert_eq!(history.check().is_ok(), possible, "{told:?}");
        }
    }

    #[test]
    fn what_says_that_nothing_was_done_did_nothing() {
        let history = History::new(1);
        calls(&history, [(ONE, Ret::NothingDone), (TWO, Held)]);
        yes(&history);
        let history = History::new(1);
        calls(&history, [(ONE, Ret::NothingDone), (TWO, Short)]);
        no(&history);
    }

    #[test]
    fn units_of_a_confirm_may_be_counted_twice_for_one_while_and_never_more() {
        for (told, possible) in [
            (vec![(Available, free(2)), (Available, free(1)), (Available, free(1)), (Available, free(2))], true),
            (vec![(TWO, Held), (Available, free(0)), (Available, free(1))], true),
            (vec![(Reserve { order: 2, units: 2 }, Short), (Available, free(1)), (Available, free(2))], true),
            (vec![(Available, free(1)), (Available, free(2)), (Available, free(1))], false),
            (vec![(Reserve { order: 2, units: 2 }, Short), (Available, free(2)), (Available, free(1))], false),
            (vec![(Available, free(0))], false),
            (vec![(TWO, Short)], false),
            (vec![(Available, free(3))], false),
        ] {
            let history = History::new(3);
            calls(&history, [(ONE, Held), (Confirm { order: 1 }, Ret::Confirmed)]);
            calls(&history, told.clone());
            assert_eq!(history.check().is_ok(), possible, "{told:?}");
        }
    }

    #[test]
    fn where_a_cancel_meets_a_confirm_the_word_may_come_before_the_units() {
        // The Cancel is in the ledger, and Redis cannot be told: the Confirm is answered, the Cancel is not.
        let history = History::new(1);
        calls(&history, [(ONE, Held)]);
        let cancel = history.invoke(Cancel { order: 1 });
        calls(&history, [(Confirm { order: 1 }, refused("RESERVATION_CANCELLED")), (TWO, Short)]);
        yes(&history);
        history.returned(cancel, Ret::Cancelled);
        yes(&history);
        calls(&history, [(TWO, Short)]);
        no(&history);
        // Without a Confirm it is the Cancel in Redis that is seen, which frees them.
        let history = History::new(1);
        calls(&history, [(ONE, Held)]);
        lost(&history, Cancel { order: 1 });
        calls(&history, [(ONE, refused("RESERVATION_CANCELLED")), (TWO, Short)]);
        no(&history);
    }

    #[test]
    fn refusals_that_nothing_explains_are_found() {
        for reason in ["RESERVATION_REJECTED", "RESERVATION_EXPIRED", "RESERVATION_NOT_FOUND", "CONFIRM_MISMATCH"] {
            let history = History::new(1);
            calls(&history, [(ONE, Held), (Confirm { order: 1 }, refused(reason))]);
            no(&history);
        }
    }

    #[test]
    fn the_error_tells_the_story() {
        let history = History::new(1);
        lost(&history, Available);
        calls(&history, [(ONE, Held), (TWO, Held)]);
        let error = history.check().expect_err("not linearizable");
        assert!(error.contains("the best one leaves #2\na sku with 1 on hand:\n"), "{error}");
        let events: Vec<_> = error.lines().skip(2).map(|line| line.split_once('#').expect("an event").1).collect();
        let expected = [
            "0 Available",
            "1 Reserve { order: 1, units: 1 }",
            "1   -> Held",
            "2 Reserve { order: 2, units: 1 }",
            "2   -> Held",
            "0 Available",
        ];
        assert_eq!(events, expected, "{error}");
    }

    /// Five callers, five calls each, always all at the same time; four never hear of their last one.
    fn crowded(last: impl Fn(usize) -> Option<Ret>) -> History {
        let history = History::new(12);
        let rounds: [fn(usize) -> Op; 5] = [
            |caller| Reserve { order: caller, units: 2 },
            |_| Available,
            |caller| if caller.is_multiple_of(2) { Confirm { order: caller } } else { Cancel { order: caller } },
            |caller| Reserve { order: caller + 5, units: 1 },
            |caller| {
                if caller.is_multiple_of(2) { Cancel { order: caller + 5 } } else { Confirm { order: caller + 5 } }
            },
        ];
        for (round, op) in rounds.iter().enumerate() {
            let invocations: Vec<_> = (0..5).map(|caller| history.invoke(op(caller))).collect();
            for (caller, invocation) in invocations.into_iter().enumerate().rev() {
                let ret = match op(caller) {
                    _ if round == 4 => last(caller),
                    Reserve { .. } => Some(Held),
                    Available => Some(free(2)),
                    Confirm { .. } => Some(Ret::Confirmed),
                    Cancel { .. } => Some(Ret::Cancelled),
                };
                if let Some(ret) = ret {
                    history.returned(invocation, ret);
                }
            }
        }
        history
    }

    #[test]
    fn a_window_of_five_callers_is_checked_within_a_tenth_of_a_second() {
        let unknown = |caller| (caller == 4).then_some(Ret::Cancelled);
        let linearizable = crowded(unknown);
        let confirmed_after_a_cancel = crowded(|caller| (caller == 4).then_some(Ret::Confirmed));
        // The most that can be: 12, less 2 x 3 confirmed, less 1 x 2 confirmed later or never.
        let too_many_free = crowded(unknown);
        calls(&too_many_free, [(Available, free(7))]);
        for (history, possible) in [(linearizable, true), (confirmed_after_a_cancel, false), (too_many_free, false)] {
            let begin = Instant::now();
            assert_eq!(history.check().is_ok(), possible);
            let elapsed = begin.elapsed();
            assert!(elapsed < Duration::from_millis(100), "it took {elapsed:?}");
        }
    }

    /// Random, but the same every time.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            // Xorshift.
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 33) as usize % sides
        }
    }

    /// What is left of a shop without a checker: how many are free, and what each order holds.
    struct Till {
        free: i64,
        orders: [Option<(Ret, i64)>; 6],
    }

    impl Till {
        fn serve(&mut self, op: Op) -> Ret {
            match op {
                Available => free(self.free),
                Reserve { order, units } => match &self.orders[order] {
                    None if self.free < i64::from(units) => Short,
                    None => {
                        self.free -= i64::from(units);
                        self.orders[order] = Some((Held, units.into()));
                        Held
                    }
                    Some((Ret::Cancelled, _)) => refused("RESERVATION_CANCELLED"),
                    Some((ret, _)) => ret.clone(),
                },
                Confirm { order } => match &mut self.orders[order] {
                    None => refused("RESERVATION_NOT_FOUND"),
                    Some((Ret::Cancelled, _)) => refused("RESERVATION_CANCELLED"),
                    Some((ret, _)) => {
                        *ret = Ret::Confirmed;
                        Ret::Confirmed
                    }
                },
                Cancel { order } => match &self.orders[order] {
                    Some((Ret::Confirmed, _)) => refused("RESERVATION_CONFIRMED"),
                    before => {
                        self.free += before.as_ref().map_or(0, |(_, units)| *units);
                        self.orders[order] = Some((Ret::Cancelled, 0));
                        Ret::Cancelled
                    }
                },
            }
        }
    }

    /// Callers at one till, each waiting before and after it is served; some are never answered. The sku has 4 on hand; what the till believes is another matter.
    fn at_one_till(seed: u64, believed: i64) -> History {
        let (mut dice, history) = (Dice(seed << 32 | 0x9E37_79B9), History::new(4));
        let mut till = Till { free: believed, orders: Default::default() };
        let (mut waiting, mut served) = (Vec::new(), Vec::new());
        for _ in 0..80 {
            match dice.roll(3) {
                0 if waiting.len() + served.len() < 5 => {
                    let order = dice.roll(6);
                    let reserve = Reserve { order, units: 1 + order as u32 % 2 };
                    let op = [reserve, reserve, Confirm { order }, Cancel { order }, Available][dice.roll(5)];
                    waiting.push((op, history.invoke(op)));
                }
                1 if !waiting.is_empty() => {
                    let (op, invocation) = waiting.swap_remove(dice.roll(waiting.len()));
                    served.push((invocation, till.serve(op)));
                }
                2 if !served.is_empty() => {
                    let (invocation, ret) = served.swap_remove(dice.roll(served.len()));
                    if dice.roll(10) > 0 {
                        history.returned(invocation, ret);
                    }
                }
                _ => {}
            }
        }
        history
    }

    #[test]
    fn what_one_till_answers_is_linearizable() {
        for seed in 1..=200 {
            yes(&at_one_till(seed, 4));
        }
    }

    #[test]
    fn a_till_that_believes_in_a_unit_that_is_not_there_is_found_out() {
        let found = (1..=200).filter(|seed| at_one_till(*seed, 5).check().is_err()).count();
        assert!(found > 150, "in {found} of 200 windows");
    }

    #[test]
    fn a_window_with_too_many_calls_is_no_success() {
        let history = History::new(40);
        for order in 0..40 {
            lost(&history, Reserve { order, units: 1 });
        }
        calls(&history, [(Available, free(100))]);
        let error = history.check().expect_err("too many");
        assert!(error.starts_with("NOT CHECKED"), "{error}");
    }
}
