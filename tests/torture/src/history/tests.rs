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

/// Calls one after the other.
fn calls(history: &History, calls: impl IntoIterator<Item = (Op, Ret)>) {
    for (op, ret) in calls {
        let invocation = history.invoke(op);
        history.returned(invocation, ret);
    }
}

/// Calls whose answers never come.
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
    // Its units cannot be free after they were seen to be held, because only this order can have taken them.
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
    // No call could explain this answer.
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
        (vec![(ONE, Confirming), (Cancel { order: 1 }, Ret::Cancelled), (Available, free(1))], true),
        (vec![(ONE, Confirming), (ONE, Held)], false),
    ] {
        let history = History::new(1);
        calls(&history, [(ONE, Held)]);
        lost(&history, Confirm { order: 1 });
        calls(&history, told.clone());
        assert_eq!(history.check().is_ok(), possible, "{told:?}");
    }
}

#[test]
fn what_nobody_confirmed_is_not_being_confirmed() {
    let history = History::new(1);
    calls(&history, [(ONE, Held), (ONE, Confirming)]);
    no(&history);
    let history = History::new(1);
    calls(&history, [(ONE, Held), (Confirm { order: 1 }, Ret::NothingDone), (ONE, Confirming)]);
    no(&history);
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
    // Without a Confirm, the answer comes from the Cancel in Redis, which frees the units.
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

/// Five callers with five calls each, all at the same time. Four callers never hear of their last call.
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
    // The lowest possible number: 12, less 2 x 3 confirmed, less 1 x 2 confirmed later or never.
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

/// A shop without a checker: how many units are free, and what each order holds.
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

/// Callers at one till. Each waits before and after it is served, and some are never answered. The sku has 4 on hand;
/// the till may believe something else.
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
