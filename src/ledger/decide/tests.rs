use super::*;
use crate::domain::Outcome::{Cancelled, Confirmed, Rejected};

const NOW_MICROS: i64 = 1_000_000;

fn sku(text: &str) -> Sku {
    Sku::parse(text).expect(text)
}

fn id(text: &str) -> ReservationId {
    ReservationId::parse(text).expect(text)
}

fn lines(lines: &[(&str, u32)]) -> Lines {
    Lines::merge(lines.iter().map(|(name, quantity)| (sku(name), *quantity))).expect("lines")
}

fn confirm(wanted: &[(&str, u32)]) -> Intent {
    let lines = lines(wanted);
    Intent::Confirm { reserved: lines.fingerprint(), confirmed: lines.fingerprint(), lines }
}

/// Rows as (sku, on_hand, floor), all of version 7.
fn facts(rows: &[(&str, i64, i64)]) -> Facts {
    let row = |&(name, on_hand, floor): &(&str, i64, i64)| {
        (sku(name), StockRow { version: 7, on_hand, floor, retired: name == "retired" })
    };
    Facts { now_micros: NOW_MICROS, rows: rows.iter().map(row).collect(), ..Facts::default() }
}

fn outcomes(facts: Facts, intents: &[(&str, Intent)]) -> (Vec<Outcome>, Decision) {
    let intents: Vec<_> = intents.iter().map(|(name, intent)| (id(name), intent)).collect();
    let decision = decide(facts, intents.iter().map(|(id, intent)| (id, *intent)));
    (decision.answers.iter().map(|answer| answer.settlement.outcome).collect(), decision)
}

#[test]
fn one_confirm_may_sell_down_to_the_floor_and_no_further() {
    for (on_hand, floor, quantity, expected) in [
        (5, 0, 5, Confirmed),
        (5, 0, 6, Rejected),
        (5, 3, 2, Confirmed),
        (5, 3, 3, Rejected),
        (0, -2, 2, Confirmed),
        (0, -2, 3, Rejected),
        (2, 5, 1, Rejected),
        (-9, -5, 1, Rejected),
    ] {
        let (answered, decision) = outcomes(facts(&[("a", on_hand, floor)]), &[("r", confirm(&[("a", quantity)]))]);
        assert_eq!(answered, [expected], "{on_hand} {floor} {quantity}");
        let sold = if expected == Confirmed { i64::from(quantity) } else { 0 };
        assert_eq!(decision.rows[&sku("a")].on_hand, on_hand - sold);
        assert_eq!(decision.changed.contains(&sku("a")), sold > 0);
    }
}

#[test]
fn what_the_batch_decided_counts_as_settled_for_what_follows_in_it() {
    let one = || confirm(&[("a", 1)]);
    for (intents, expected) in [
        (vec![("r", one()), ("r", one())], vec![Confirmed, Confirmed]),
        (vec![("r", one()), ("r", Intent::Cancel)], vec![Confirmed, Confirmed]),
        (vec![("r", Intent::Cancel), ("r", one())], vec![Cancelled, Cancelled]),
        (vec![("r", confirm(&[("a", 9)])), ("r", Intent::Cancel)], vec![Rejected, Rejected]),
        (vec![("r", Intent::Reject { lines: lines(&[("a", 1)]) }), ("r", one())], vec![Rejected, Rejected]),
    ] {
        let (answered, decision) = outcomes(facts(&[("a", 5, 0)]), &intents);
        assert_eq!(answered, expected);
        assert_eq!(decision.answers.iter().map(|answer| answer.is_new).collect::<Vec<_>>(), [true, false]);
        let sold = i64::from(expected[0] == Confirmed);
        assert_eq!(decision.rows[&sku("a")].on_hand, 5 - sold);
    }
}

#[test]
fn arrival_decides_who_gets_the_last_unit_and_the_row_gets_one_version() {
    let intents = [("r1", confirm(&[("a", 2)])), ("r2", confirm(&[("a", 2)])), ("r3", confirm(&[("a", 1)]))];
    let (answered, decision) = outcomes(facts(&[("a", 3, 0)]), &intents);
    assert_eq!(answered, [Confirmed, Rejected, Confirmed]);
    assert_eq!(decision.rows[&sku("a")], StockRow { version: NOW_MICROS, on_hand: 0, floor: 0, retired: false });
}

#[test]
fn all_lines_or_none_and_every_short_one_is_named() {
    let wanted = confirm(&[("a", 1), ("b", 4), ("unknown", 2)]);
    let (answered, decision) = outcomes(facts(&[("a", 5, 0), ("b", 3, 0)]), &[("r", wanted)]);
    assert_eq!(answered, [Rejected]);
    let short = |name, requested, available| Shortage { sku: sku(name), requested, available, held: 0 };
    assert_eq!(decision.answers[0].shortages, [short("b", 4, 3), short("unknown", 2, 0)]);
    assert!(decision.changed.is_empty());
}

#[test]
fn a_retired_sku_settles_what_was_held() {
    let (answered, _) = outcomes(facts(&[("retired", 1, 0)]), &[("r", confirm(&[("retired", 1)]))]);
    assert_eq!(answered, [Confirmed]);
}

#[test]
fn a_settlement_that_stands_is_answered_whatever_is_asked() {
    let standing = Settlement {
        id: id("r"),
        outcome: Confirmed,
        reserved: Some(lines(&[("a", 2)]).fingerprint()),
        confirmed: Some(lines(&[("a", 1)]).fingerprint()),
        lines: lines(&[("a", 1)]),
        time_ms: 5,
    };
    for intent in
        [confirm(&[("a", 1)]), confirm(&[("b", 1)]), Intent::Cancel, Intent::Reject { lines: lines(&[("a", 1)]) }]
    {
        let mut facts = facts(&[("a", 5, 0), ("b", 5, 0)]);
        facts.settled.insert(id("r"), standing.clone());
        let (_, decision) = outcomes(facts, &[("r", intent)]);
        assert_eq!(decision.answers[0].settlement, standing);
        assert!(!decision.answers.iter().any(|answer| answer.is_new) && decision.changed.is_empty());
    }
}

#[test]
fn each_intent_is_answered_with_the_settlement_of_its_own_reservation() {
    let mut facts = facts(&[("a", 5, 0)]);
    let standing = |name| Settlement {
        id: id(name),
        outcome: Cancelled,
        reserved: None,
        confirmed: None,
        lines: Lines::default(),
        time_ms: 5,
    };
    facts.settled.insert(id("s"), standing("s"));
    let names = ["s", "r1", "r2", "r2", "s", "r1"];
    let (_, decision) = outcomes(facts, &names.map(|name| (name, confirm(&[("a", 1)]))));
    let answered: Vec<_> = decision.answers.iter().map(|answer| answer.settlement.id.to_string()).collect();
    assert_eq!(answered, names);
    let new: Vec<_> = decision.answers.iter().map(|answer| answer.is_new).collect();
    assert_eq!(new, [false, true, true, false, false, false]);
}

#[test]
fn versions_grow_even_if_the_clock_went_back() {
    for (version, now_micros, expected) in [(1, 500, 500), (500, 500, 501), (900, 500, 901)] {
        assert_eq!(next_version(version, now_micros), expected);
    }
}
