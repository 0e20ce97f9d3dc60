//! The contract of `holds::Holds`, against both stores, and with shared calls.

use stockhold::domain::Outcome::{Cancelled, Confirmed, Rejected};
use stockhold::domain::{ReservationId, Shortage, State, StockRow};
use stockhold::holds::{Command, Held, Position, Reply};

use crate::support::holds::*;
use crate::support::redis::{client, run as run_redis};
use crate::support::required;

/// A row of a table: when, what, what is answered, and then held of sku `a`.
type Row = (u64, Command, (&'static str, Option<State>), i64);

async fn run(holds: &TestHolds, table: Vec<Row>) {
    for (number, (ms, command, expected, held)) in table.into_iter().enumerate() {
        holds.at(ms);
        let what = format!("row {number}, at {ms} ms: {command:?}");
        assert_eq!(outcome(&holds.apply(command).await), expected, "{what}");
        assert_eq!(holds.held_available("a").await.0, held, "held after {what}");
    }
}

const HELD: (&str, Option<State>) = ("accepted", Some(State::Held));
const CONFIRMING: (&str, Option<State>) = ("accepted", Some(State::Confirming));
const CONFIRMED: (&str, Option<State>) = ("accepted", Some(State::Confirmed));
const CANCELLED: (&str, Option<State>) = ("accepted", Some(State::Cancelled));
const REJECTED: (&str, Option<State>) = ("accepted", Some(State::Rejected));
const IS_EXPIRED: (&str, Option<State>) = ("ended", Some(State::Expired));
const IS_CANCELLED: (&str, Option<State>) = ("ended", Some(State::Cancelled));
const IS_CONFIRMED: (&str, Option<State>) = ("ended", Some(State::Confirmed));
const IS_REJECTED: (&str, Option<State>) = ("ended", Some(State::Rejected));
const NOT_FOUND: (&str, Option<State>) = ("not found", None);
const MISMATCH: (&str, Option<State>) = ("mismatch", None);
const ID_REUSED: (&str, Option<State>) = ("id reused", None);
const SHORT: (&str, Option<State>) = ("short", None);
const MISSING: (&str, Option<State>) = ("missing", None);

async fn a_life_in_time(holds: TestHolds) {
    holds.stock(&[("a", 10)]).await;
    let table = vec![
        (0, reserve("1", &[("a", 2)]), HELD, 2),
        (1, reserve("1", &[("a", 1), ("a", 1)]), HELD, 2),
        (2, reserve("1", &[("a", 3)]), ID_REUSED, 2),
        (3, begin("1"), CONFIRMING, 2),
        (4, begin("1"), CONFIRMING, 2),
        (5, begin_part("1", &[("a", 2)]), CONFIRMING, 2),
        (6, begin_part("1", &[("a", 1)]), MISMATCH, 2),
        (7, reserve("1", &[("a", 2)]), CONFIRMING, 2),
        (8, cancel("1"), CONFIRMING, 2),
        (9, extend("1", 100_000, false), CONFIRMING, 2),
        // The deadline passed long ago: a confirm that has begun outlives it.
        (500_000, begin("1"), CONFIRMING, 2),
        (500_001, settle("1", Confirmed, &[("a", 2)], &[("a", 8)]), CONFIRMED, 0),
        (500_002, settle("1", Confirmed, &[("a", 2)], &[("a", 8)]), CONFIRMED, 0),
        (500_003, begin("1"), CONFIRMED, 0),
        (500_004, begin_part("1", &[("a", 1)]), MISMATCH, 0),
        (500_005, reserve("1", &[("a", 2)]), CONFIRMED, 0),
        (500_006, reserve("1", &[("a", 1)]), ID_REUSED, 0),
        (500_007, cancel("1"), IS_CONFIRMED, 0),
        (500_008, extend("1", 600_000, true), IS_CONFIRMED, 0),
    ];
    run(&holds, table).await;
    assert_eq!(holds.held_available("a").await, (0, 8));
}

async fn cancelled_is_final(holds: TestHolds) {
    holds.stock(&[("a", 10)]).await;
    let table = vec![
        (0, reserve("1", &[("a", 2)]), HELD, 2),
        (1, cancel("1"), CANCELLED, 0),
        (2, cancel("1"), CANCELLED, 0),
        (3, settle("1", Cancelled, &[], &[]), CANCELLED, 0),
        (4, cancel("1"), CANCELLED, 0),
        (5, reserve("1", &[("a", 2)]), IS_CANCELLED, 0),
        (6, reserve("1", &[("a", 1)]), ID_REUSED, 0),
        (7, begin("1"), IS_CANCELLED, 0),
        (8, reacquire("1"), IS_CANCELLED, 0),
        (9, extend("1", 100_000, true), IS_CANCELLED, 0),
    ];
    run(&holds, table).await;
}

async fn a_tombstone_refuses_the_reserve_that_arrives_late(holds: TestHolds) {
    holds.stock(&[("a", 10)]).await;
    let table = vec![
        (0, cancel("1"), CANCELLED, 0),
        (1, reserve("1", &[("a", 2)]), IS_CANCELLED, 0),
        (2, begin("1"), IS_CANCELLED, 0),
        (3, settle("1", Cancelled, &[], &[]), CANCELLED, 0),
        (4, reserve("1", &[("a", 2)]), IS_CANCELLED, 0),
        (5, begin("1"), IS_CANCELLED, 0),
        (6, cancel("1"), CANCELLED, 0),
        (7, settle("2", Cancelled, &[], &[]), CANCELLED, 0),
        (8, reserve("2", &[("a", 2)]), IS_CANCELLED, 0),
    ];
    run(&holds, table).await;
}

async fn a_hold_ends_at_its_deadline_to_the_millisecond(holds: TestHolds) {
    holds.stock(&[("a", 10), ("b", 10)]).await;
    let table = vec![
        (0, reserve("1", &[("a", 10)]), HELD, 10),
        (0, reserve("2", &[("b", 1)]), HELD, 10),
        (TTL_MS - 1, reserve("3", &[("a", 1)]), SHORT, 10),
        (TTL_MS - 1, begin("2"), CONFIRMING, 10),
        (TTL_MS, reserve("3", &[("a", 1)]), HELD, 1),
        (TTL_MS, begin("1"), IS_EXPIRED, 1),
        (TTL_MS, extend("1", TTL_MS + 10, false), IS_EXPIRED, 1),
        (TTL_MS, reserve("1", &[("a", 10)]), IS_EXPIRED, 1),
        (TTL_MS, reserve("1", &[("a", 9)]), ID_REUSED, 1),
        (TTL_MS, cancel("1"), CANCELLED, 1),
        (TTL_MS, reacquire("1"), IS_CANCELLED, 1),
    ];
    run(&holds, table).await;
}

async fn extending_never_shortens_and_is_capped(holds: TestHolds) {
    holds.stock(&[("a", 10)]).await;
    let table = vec![
        (0, extend("1", 10, false), NOT_FOUND, 0),
        (0, reserve("1", &[("a", 1)]), HELD, 1),
        (1, extend("1", TTL_MS * 2, false), HELD, 1),
        (2, extend("1", 5, false), HELD, 1),
        (TTL_MS * 2 - 1, extend("1", TTL_MS * 2, false), HELD, 1),
        (TTL_MS * 2 - 1, extend("1", 3_600_001, false), ("beyond lifetime", None), 1),
        (TTL_MS * 2 - 1, extend("1", 3_600_000, false), HELD, 1),
        (3_599_999, reserve("1", &[("a", 1)]), HELD, 1),
        (3_600_000, reserve("1", &[("a", 1)]), IS_EXPIRED, 0),
        (3_600_000, extend("1", 3_700_000, true), ("beyond lifetime", None), 0),
    ];
    run(&holds, table).await;
}

async fn an_expired_reservation_can_take_its_stock_again(holds: TestHolds) {
    holds.stock(&[("a", 2)]).await;
    let late = TTL_MS * 2;
    let table = vec![
        (0, reserve("1", &[("a", 2)]), HELD, 2),
        (late, extend("1", late, true), IS_EXPIRED, 0),
        (late, extend("1", late + 5, true), HELD, 2),
        (late + 5, begin("1"), IS_EXPIRED, 0),
        (late + 5, reserve("2", &[("a", 1)]), HELD, 1),
        (late + 5, reacquire("1"), SHORT, 1),
        (late + 5, extend("1", late + 50, true), SHORT, 1),
        (late + 6, cancel("2"), CANCELLED, 0),
        (late + 6, reacquire("1"), CONFIRMING, 2),
        (late + 7, reacquire("1"), CONFIRMING, 2),
        (late + 8, settle("1", Rejected, &[], &[("a", 1)]), REJECTED, 0),
        (late + 9, reacquire("1"), IS_REJECTED, 0),
        (late + 9, cancel("1"), IS_REJECTED, 0),
        (late + 9, reserve("1", &[("a", 2)]), IS_REJECTED, 0),
    ];
    run(&holds, table).await;
}

async fn what_has_ended_is_forgotten_after_the_retention_time(holds: TestHolds) {
    holds.stock(&[("a", 1000)]).await;
    let sweep = async |ms: u64| {
        holds.at(ms);
        while let Reply::Swept { more: true, .. } = holds.apply(Command::Sweep).await {}
    };
    // The hour that what has ended is remembered.
    let retention = 3_600_000;
    holds.apply(reserve("confirmed", &[("a", 1)])).await;
    holds.apply(settle("confirmed", Confirmed, &[("a", 1)], &[("a", 999)])).await;
    holds.apply(cancel("waits")).await;
    for name in ["expired", "revived", "ends again"] {
        holds.apply(reserve(name, &[("a", 1)])).await;
    }
    for i in 0..500 {
        holds.apply(reserve(&format!("crowd {i}"), &[("a", 1)])).await;
    }
    sweep(TTL_MS).await;
    let (again, latest) = (TTL_MS + 1000, retention - 1);
    holds.apply(extend("revived", latest, true)).await;
    holds.apply(extend("ends again", again, true)).await;
    sweep(again).await;

    for (ms, remembered) in [
        (retention - 1, "confirmed waits expired revived again crowd"),
        (retention, "waits expired revived again crowd"),
        (retention + TTL_MS - 1, "waits expired revived again crowd"),
        (retention + TTL_MS, "waits revived again"),
        (retention + again, "waits revived"),
        (retention + latest, "waits"),
        (9 * retention, "waits"),
    ] {
        sweep(ms).await;
        for (name, word) in [
            ("confirmed", "confirmed"),
            ("waits", "waits"),
            ("expired", "expired"),
            ("revived", "revived"),
            ("ends again", "again"),
            ("crowd 499", "crowd"),
        ] {
            assert_eq!(holds.state(name).await.is_some(), remembered.contains(word), "{name} at {ms} ms");
        }
    }
    holds.apply(settle("waits", Cancelled, &[], &[])).await;
    sweep(10 * retention).await;
    assert_eq!(holds.state("waits").await, None);
}

const UNKNOWN_LOCATION: (&str, Option<State>) = ("unknown location", None);
const TOMBSTONES_FULL: (&str, Option<State>) = ("tombstones full", None);

async fn a_location_without_stock_keeps_no_tombstones(holds: TestHolds) {
    for command in [cancel("1"), begin("1"), extend("1", 10, true), Command::Get { id: id("1") }, Command::Sweep] {
        holds.apply(command).await;
    }
    assert_eq!(outcome(&holds.apply(cancel("1")).await), UNKNOWN_LOCATION);
    assert!(!holds.is_kept().await);
    holds.stock(&[("a", 2)]).await;
    assert_eq!(outcome(&holds.apply(cancel("1")).await), CANCELLED);
    holds.apply(Command::Push { rows: vec![(sku("a"), None)] }).await;
    assert_eq!(outcome(&holds.apply(cancel("1")).await), CANCELLED, "it is remembered");
    assert_eq!(outcome(&holds.apply(cancel("2")).await), UNKNOWN_LOCATION);
    // Also within one call.
    let replies = holds.try_all(vec![
        cancel("2"),
        Command::Push { rows: vec![(sku("a"), Some(row(2, 2)))] },
        cancel("2"),
        Command::Push { rows: vec![(sku("a"), None)] },
        cancel("3"),
    ]);
    let found: Vec<_> = replies.await.expect("answers").iter().map(|reply| outcome(reply).0).collect();
    assert_eq!(found, ["unknown location", "other", "accepted", "other", "unknown location"]);
}

async fn tombstones_are_bounded_and_no_other_cancel_is(holds: TestHolds) {
    let max = CONFIG.tombstones_max;
    holds.stock(&[("a", 10)]).await;
    for name in ["held", "expires"] {
        holds.apply(reserve(name, &[("a", 1)])).await;
    }
    let fill = async || {
        let names: Vec<_> = (0..max + 2).map(|number| format!("never seen {number}")).collect();
        let replies = holds.try_all(names.iter().map(|name| cancel(name)).collect()).await.expect("answers");
        replies.iter().filter(|reply| outcome(reply) == CANCELLED).count()
    };
    assert_eq!(fill().await, max);
    let late = TTL_MS + 1;
    let full = [
        (0, cancel("new"), TOMBSTONES_FULL, 2),
        (0, cancel("never seen 0"), CANCELLED, 2),
        (0, cancel("held"), CANCELLED, 1),
        (late, cancel("expires"), CANCELLED, 0),
        (late, reserve("never seen 0", &[("a", 1)]), IS_CANCELLED, 0),
        // The ledger's word is remembered in any case: one more.
        (late, settle("from the ledger", Cancelled, &[], &[]), CANCELLED, 0),
        // A settled one is still one; one that was confirmed is none.
        (late, settle("never seen 0", Cancelled, &[], &[]), CANCELLED, 0),
        (late, settle("never seen 0", Cancelled, &[], &[]), CANCELLED, 0),
        (late, settle("never seen 1", Confirmed, &[("a", 1)], &[("a", 9)]), CONFIRMED, 0),
        (late, cancel("new"), TOMBSTONES_FULL, 0),
        (late, settle("never seen 2", Confirmed, &[("a", 1)], &[("a", 9)]), CONFIRMED, 0),
        (late, cancel("new"), CANCELLED, 0),
        (late, cancel("newer"), TOMBSTONES_FULL, 0),
    ];
    run(&holds, full.into()).await;
    // What is forgotten counts no more.
    for number in 0..max {
        holds.apply(settle(&format!("never seen {number}"), Cancelled, &[], &[])).await;
    }
    holds.apply(settle("new", Cancelled, &[], &[])).await;
    holds.at(3 * 3_600_000);
    while let Reply::Swept { more: true, .. } = holds.apply(Command::Sweep).await {}
    assert_eq!(holds.state("never seen 3").await, None);
    assert_eq!(fill().await, max);
}

async fn what_an_index_lacks_is_entered_again(holds: TestHolds) {
    holds.stock(&[("a", 1000)]).await;
    for name in ["held", "confirming", "cancelled", "settled", "expired", "confirmed"] {
        holds.apply(reserve(name, &[("a", 1)])).await;
    }
    for number in 0..600 {
        holds.apply(reserve(&format!("crowd {number}"), &[("a", 1)])).await;
    }
    let settled = [
        begin("confirming"),
        cancel("cancelled"),
        cancel("settled"),
        settle("settled", Cancelled, &[], &[]),
        settle("confirmed", Confirmed, &[("a", 1)], &[("a", 999)]),
        cancel("never seen"),
        extend("held", 2 * TTL_MS, false),
    ];
    holds.try_all(settled.into()).await.expect("answers");
    let unindexed = async |repair| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let reply = holds.apply(Command::Reindex { cursor, repair }).await;
            let Reply::Unindexed(ids, next) = reply else { panic!("{reply:?}") };
            found.extend(ids.into_iter().map(|id| id.to_string()).filter(|id| !id.starts_with("crowd")));
            cursor = next;
            if cursor.is_empty() {
                found.sort();
                found.dedup();
                return found;
            }
        }
    };
    assert_eq!(unindexed(true).await, Vec::<String>::new());
    holds.lose_indexes().await;
    let lacking = ["cancelled", "confirming", "expired", "held", "never seen"];
    assert_eq!(unindexed(false).await, lacking);
    let claimed = holds.apply(Command::Claim { limit: 10, grace_ms: 0 }).await;
    assert_eq!(claimed, Reply::Claimed(vec![]), "nothing was repaired");
    assert_eq!(unindexed(true).await, lacking);
    assert_eq!(unindexed(true).await, Vec::<String>::new());

    let Reply::Claimed(claimed) = holds.apply(Command::Claim { limit: 10, grace_ms: 0 }).await else { panic!() };
    let claimed: Vec<_> = claimed.iter().map(|reservation| reservation.id.as_str()).collect();
    assert_eq!(claimed, ["cancelled", "confirming", "never seen"]);
    holds.at(TTL_MS);
    while let Reply::Swept { more: true, .. } = holds.apply(Command::Sweep).await {}
    assert_eq!(holds.held_available("a").await.0, 2, "held and confirming");
    holds.at(2 * TTL_MS);
    assert_eq!(holds.apply(Command::Sweep).await, Reply::Swept { holds: 1, more: false });
}

async fn telling_the_same_end_again_leaves_nothing_behind(holds: TestHolds) {
    holds.stock(&[("a", 9)]).await;
    holds.apply(reserve("confirmed", &[("a", 1)])).await;
    for _ in 0..3 {
        holds.apply(cancel("cancelled")).await;
        holds.apply(settle("cancelled", Cancelled, &[], &[])).await;
        holds.apply(settle("confirmed", Confirmed, &[("a", 1)], &[("a", 8)])).await;
    }
    if let Some(prefix) = &holds.redis_prefix {
        let client = client(&required("STOCKHOLD_TEST_REDIS_URL")).await;
        let entries: Vec<String> =
            run_redis(&client, "LRANGE", &[&format!("{prefix}:{{test}}:ended"), "0", "-1"]).await;
        assert_eq!(entries, ["cancelled", "confirmed"].map(|name| format!("{START_MS}\t{name}")));
    }
}

async fn what_ended_before_the_clock_went_back_does_not_keep_the_rest_from_being_forgotten(holds: TestHolds) {
    let hour = 3_600_000;
    holds.stock(&[("a", 9)]).await;
    holds.at(30 * hour);
    holds.apply(settle("early", Cancelled, &[], &[])).await;
    holds.at(0);
    holds.apply(settle("late", Cancelled, &[], &[])).await;
    holds.at(hour);
    while let Reply::Swept { more: true, .. } = holds.apply(Command::Sweep).await {}
    assert_eq!(holds.state("late").await, None);
}

async fn confirming_a_part_releases_the_rest_at_once(holds: TestHolds) {
    holds.stock(&[("a", 5), ("b", 5)]).await;
    let table = vec![
        (0, reserve("1", &[("a", 3), ("b", 2)]), HELD, 3),
        (1, begin_part("1", &[("a", 4)]), MISMATCH, 3),
        (2, begin_part("1", &[("c", 1)]), MISMATCH, 3),
        (3, begin_part("1", &[("a", 1)]), CONFIRMING, 1),
        (4, begin("1"), MISMATCH, 1),
        (5, begin_part("1", &[("a", 1)]), CONFIRMING, 1),
    ];
    run(&holds, table).await;
    assert_eq!(holds.held_available("b").await, (0, 5));
    let reservation = accepted(holds.apply(begin_part("1", &[("a", 1)])).await);
    assert_eq!(reservation.lines, lines(&[("a", 1)]));
    assert_eq!(reservation.reserved, Some(lines(&[("a", 3), ("b", 2)]).fingerprint()));
    assert_eq!(reservation.confirmed, Some(lines(&[("a", 1)]).fingerprint()));
}

async fn all_lines_or_none_and_every_short_one_is_named(holds: TestHolds) {
    holds.stock(&[("a", 5), ("b", 1), ("c", 0)]).await;
    holds.apply(reserve("1", &[("b", 1)])).await;
    let reply = holds.apply(reserve("2", &[("c", 2), ("a", 5), ("b", 3)])).await;
    let shortage = |name, requested, held| Shortage { sku: sku(name), requested, available: 0, held };
    assert_eq!(reply, Reply::Short(vec![shortage("b", 3, 1), shortage("c", 2, 0)]));
    assert_eq!(holds.held_available("a").await, (0, 5));
    assert_eq!(holds.state("2").await, None, "a refused reserve leaves no trace");
}

async fn floors_and_retired_skus_count(holds: TestHolds) {
    let rows = [("safe", 5, 3, false), ("back", 0, -2, false), ("old", 9, 0, true)];
    let rows =
        rows.map(|(name, on_hand, floor, retired)| (sku(name), Some(StockRow { version: 1, on_hand, floor, retired })));
    holds.apply(Command::Push { rows: rows.into() }).await;
    for (name, wanted, expected) in
        [("safe", 3, SHORT), ("safe", 2, HELD), ("back", 3, SHORT), ("back", 2, HELD), ("old", 1, ("retired", None))]
    {
        let reply = holds.apply(reserve(&format!("{name}-{wanted}"), &[(name, wanted)])).await;
        assert_eq!(outcome(&reply), expected, "{wanted} of {name}");
    }
}

async fn what_is_unknown_is_missing_until_it_is_pushed(holds: TestHolds) {
    assert_eq!(holds.apply(reserve("1", &[("b", 1), ("a", 1)])).await, Reply::Missing(vec![sku("a"), sku("b")]));
    holds.stock(&[("a", 1)]).await;
    assert_eq!(holds.apply(Command::Stock { skus: vec![sku("a"), sku("b")] }).await, Reply::Missing(vec![sku("b")]));
    holds.stock(&[("b", 1)]).await;
    assert_eq!(outcome(&holds.apply(reserve("1", &[("b", 1), ("a", 1)])).await), HELD);
}

async fn a_register_takes_only_newer_rows(holds: TestHolds) {
    for (version, on_hand, changed, expected) in
        [(5, 50, 1, 50), (4, 40, 0, 50), (5, 55, 0, 50), (6, 60, 1, 60), (i64::from(u32::MAX) << 20, 1, 1, 1)]
    {
        let reply = holds.apply(Command::Push { rows: vec![(sku("a"), Some(row(version, on_hand)))] }).await;
        assert_eq!(reply, Reply::Pushed(changed), "version {version}");
        assert_eq!(holds.held_available("a").await.1, expected, "version {version}");
    }
    assert_eq!(holds.apply(Command::Push { rows: vec![(sku("a"), None)] }).await, Reply::Pushed(1));
    assert_eq!(outcome(&holds.apply(reserve("1", &[("a", 1)])).await), MISSING);
}

async fn the_largest_numbers_keep_every_digit(holds: TestHolds) {
    let max = 100_000_000_000_000;
    let large = StockRow { version: 1_790_000_000_123_457, on_hand: max, floor: -max, retired: false };
    holds.apply(Command::Push { rows: vec![(sku("a"), Some(large))] }).await;
    assert_eq!(outcome(&holds.apply(reserve("1", &[("a", 999_999_999)])).await), HELD);
    // Held itself is bounded, so that its digits are kept too.
    assert_eq!(holds.held_available("a").await, (999_999_999, max - 999_999_999));
    let counters = holds.apply(Command::Counters { skus: vec![sku("a"), sku("b")] }).await;
    let expected = vec![(Some(large), Held { units: 999_999_999, changes: 1 }), (None, Held::default())];
    assert_eq!(counters, Reply::Counters(expected));
}

async fn settling_refuses_to_drop_a_hold_without_its_rows(holds: TestHolds) {
    holds.stock(&[("a", 5), ("b", 5)]).await;
    for (name, outcome_wanted) in [("1", Confirmed), ("2", Rejected)] {
        holds.apply(reserve(name, &[("a", 1), ("b", 1)])).await;
        holds.apply(begin(name)).await;
        let reply = holds.apply(settle(name, outcome_wanted, &[("a", 1)], &[("a", 4)])).await;
        assert_eq!(reply, Reply::Missing(vec![sku("b")]));
        assert_eq!(holds.held_available("b").await.0, 1);
        assert_eq!(holds.state(name).await, Some(State::Confirming));
        let reply = holds.apply(settle(name, outcome_wanted, &[("a", 1), ("b", 1)], &[("a", 4), ("b", 4)])).await;
        assert_eq!(accepted(reply).state, outcome_wanted.into());
        assert_eq!(holds.held_available("b").await.0, 0);
    }
}

async fn the_final_word_overrides_what_the_store_believes(holds: TestHolds) {
    holds.stock(&[("a", 100)]).await;
    let befores: [(&str, Vec<Command>); 5] = [
        ("nothing", vec![]),
        ("held", vec![reserve("held", &[("a", 3)])]),
        ("confirming", vec![reserve("confirming", &[("a", 3)]), begin("confirming")]),
        ("cancelled", vec![reserve("cancelled", &[("a", 3)]), cancel("cancelled")]),
        ("settled", vec![settle("settled", Cancelled, &[], &[])]),
    ];
    for (name, before) in befores {
        for word in [Confirmed, Rejected, Cancelled, Confirmed] {
            if !before.is_empty() {
                holds.try_all(before.clone()).await.expect("answers");
            }
            let reservation = accepted(holds.apply(settle(name, word, &[("a", 2)], &[("a", 98)])).await);
            assert_eq!(reservation.state, word.into(), "{name}");
            assert_eq!(holds.state(name).await, Some(word.into()), "{name}");
            assert_eq!(holds.held_available("a").await.0, 0, "{name}");
        }
        let reservation = accepted(holds.apply(Command::Get { id: id(name) }).await);
        assert_eq!(reservation.lines, lines(&[("a", 2)]), "{name}: what was confirmed");
    }
}

async fn ten_thousand_holds_that_expire_in_the_same_millisecond(holds: TestHolds) {
    holds.stock(&[("a", 10_000)]).await;
    for chunk in 0..100 {
        let commands = (0..100).map(|i| reserve(&format!("{chunk}-{i}"), &[("a", 1)])).collect();
        for reply in holds.try_all(commands).await.expect("answers") {
            assert_eq!(outcome(&reply), HELD);
        }
    }
    assert_eq!(outcome(&holds.apply(reserve("late", &[("a", 1)])).await), SHORT);
    holds.at(TTL_MS);
    let mut rounds = 0;
    while holds.apply(reserve("all", &[("a", 10_000)])).await == Reply::More {
        rounds += 1;
        assert!(rounds < 1000, "reclaiming makes progress");
    }
    assert!(rounds >= 10_000 / 200 - 1, "bounded work a call: {rounds} rounds");
    assert_eq!(holds.held_available("a").await, (10_000, 0));
    assert_eq!(holds.state("0-0").await, Some(State::Expired));
}

async fn the_sweeper_frees_what_is_overdue(holds: TestHolds) {
    holds.stock(&[("a", 1000)]).await;
    for i in 0..250 {
        holds.apply(reserve(&i.to_string(), &[("a", 1)])).await;
    }
    assert_eq!(holds.apply(Command::Sweep).await, Reply::Swept { holds: 0, more: false });
    holds.at(TTL_MS);
    assert_eq!(holds.apply(Command::Sweep).await, Reply::Swept { holds: 200, more: true });
    assert_eq!(holds.apply(Command::Sweep).await, Reply::Swept { holds: 50, more: false });
    let counters = holds.apply(Command::Counters { skus: vec![sku("a")] }).await;
    assert!(matches!(&counters, Reply::Counters(found) if found[0].1.units == 0), "{counters:?}");
}

async fn names_that_look_alike_are_different(holds: TestHolds) {
    let names = ["Order-A", "order-a", "ORDER-A", "é", "e\u{301}", "e", "a b", "a  b", "ß", "ss", "日本", "ａ", "a"];
    let stock: Vec<_> = names.iter().map(|name| (*name, 1)).collect();
    holds.stock(&stock).await;
    for name in names {
        assert_eq!(outcome(&holds.apply(reserve(name, &[(name, 1)])).await), HELD, "{name}");
        assert_eq!(holds.held_available(name).await, (1, 0), "{name}");
    }
    assert_eq!(outcome(&holds.apply(cancel("Order-A")).await), CANCELLED);
    for (name, held) in [("Order-A", 0), ("order-a", 1), ("ORDER-A", 1)] {
        assert_eq!(holds.held_available(name).await.0, held, "{name}");
    }
}

async fn pages_show_every_live_hold_once_in_order_of_the_deadline(holds: TestHolds) {
    holds.stock(&[("a", 1000)]).await;
    // Seven share each deadline; their ids come in byte order, upper case before lower case.
    let name = |i: u64| format!("{}{i:02}", if i.is_multiple_of(2) { "Z" } else { "a" });
    for i in 0..35 {
        holds.at(i / 7);
        holds.apply(reserve(&name(i), &[("a", 1)])).await;
    }
    for i in [3, 17] {
        holds.apply(begin(&name(i))).await;
    }
    holds.apply(cancel(&name(20))).await;

    for limit in [1, 4, 7, 35, 100] {
        let (mut seen, mut after) = (Vec::<ReservationId>::new(), None::<Position>);
        loop {
            let Reply::Page(page) = holds.apply(Command::List { after, limit }).await else { panic!("no page") };
            assert!(page.reservations.len() <= limit);
            seen.extend(page.reservations.iter().map(|reservation| reservation.id.clone()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut expected: Vec<_> = (0..35).filter(|i| ![3, 17, 20].contains(i)).map(|i| (i / 7, name(i))).collect();
        expected.sort();
        let mut expected: Vec<_> = expected.into_iter().map(|(_, name)| id(&name)).collect();
        expected.extend(["a03", "a17"].map(id));
        assert_eq!(seen, expected, "pages of {limit}");
    }

    // The entry where a page ended may be gone when the next one is asked for.
    let Reply::Page(page) = holds.apply(Command::List { after: None, limit: 3 }).await else { panic!("no page") };
    let next = page.next.expect("there is more");
    holds.apply(cancel(next.id.as_str())).await;
    let Reply::Page(page) = holds.apply(Command::List { after: Some(next), limit: 1 }).await else { panic!("no page") };
    assert_eq!(page.reservations[0].id, id("Z06"));
}

async fn what_waits_for_its_settlement_is_claimed_once_a_grace_period(holds: TestHolds) {
    holds.stock(&[("a", 10)]).await;
    for name in ["1", "2", "3"] {
        holds.apply(reserve(name, &[("a", 1)])).await;
    }
    holds.at(10);
    holds.apply(begin("1")).await;
    holds.at(20);
    holds.apply(cancel("2")).await;

    let claimed = async |ms: u64| {
        holds.at(ms);
        match holds.apply(Command::Claim { limit: 10, grace_ms: 100 }).await {
            Reply::Claimed(found) => found.iter().map(|r| (r.id.to_string(), r.state)).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    let (one, two) = (("1".to_owned(), State::Confirming), ("2".to_owned(), State::Cancelled));
    assert_eq!(claimed(109).await, []);
    assert_eq!(claimed(110).await, std::slice::from_ref(&one));
    assert_eq!(claimed(119).await, []);
    assert_eq!(claimed(120).await, std::slice::from_ref(&two));
    assert_eq!(claimed(220).await, [one, two]);
    holds.apply(settle("1", Confirmed, &[("a", 1)], &[("a", 9)])).await;
    holds.apply(settle("2", Cancelled, &[], &[])).await;
    assert_eq!(claimed(10_000).await, []);
}

/// After a failover the clock may be an hour behind; what the old one touched must not wait for that hour.
async fn what_waits_is_claimed_also_when_the_clock_went_back(holds: TestHolds) {
    holds.stock(&[("a", 10)]).await;
    let hour = 3_600_000;
    holds.at(hour);
    for name in ["1", "2", "3"] {
        holds.apply(cancel(name)).await;
    }
    holds.at(0);
    holds.apply(cancel("4")).await;
    for (ms, expected) in [(0, "1 2"), (10, "3 1"), (100, "4 2")] {
        holds.at(ms);
        let reply = holds.apply(Command::Claim { limit: 2, grace_ms: 100 }).await;
        let Reply::Claimed(found) = reply else { panic!("{reply:?}") };
        assert_eq!(found.iter().map(|r| r.id.as_str()).collect::<Vec<_>>().join(" "), expected, "at {ms} ms");
    }
}

async fn repairs_change_nothing_if_traffic_was_faster(holds: TestHolds) {
    holds.stock(&[("a", 10)]).await;
    holds.apply(reserve("1", &[("a", 2)])).await;
    let judged = Held { units: 2, changes: 1 };
    holds.apply(reserve("2", &[("a", 3)])).await;
    let replace = |judged, units| Command::ReplaceHeld { sku: sku("a"), judged, units };
    assert_eq!(holds.apply(replace(judged, 7)).await, Reply::Pushed(0));
    assert_eq!(holds.held_available("a").await.0, 5);
    assert_eq!(holds.apply(replace(Held { units: 5, changes: 2 }, 7)).await, Reply::Pushed(1));
    assert_eq!(holds.held_available("a").await.0, 7);

    let replace = |judged, row| Command::ReplaceRegister { sku: sku("a"), judged, row };
    assert_eq!(holds.apply(replace(Some(row(9, 1)), Some(row(1, 3)))).await, Reply::Pushed(0));
    assert_eq!(holds.apply(replace(Some(row(1, 10)), Some(row(1, 30)))).await, Reply::Pushed(1));
    assert_eq!(holds.held_available("a").await.1, 23);
    assert_eq!(holds.apply(replace(Some(row(1, 30)), None)).await, Reply::Pushed(1));
    assert_eq!(outcome(&holds.apply(reserve("3", &[("a", 1)])).await), MISSING);
}

async fn the_sync_mark_changes_only_if_it_is_still_what_was_judged(holds: TestHolds) {
    let far = 1_790_000_000_123_456;
    for (command, expected) in [
        (Command::GetSynced, None),
        (Command::SetSynced { judged: Some(1), version: 2 }, None),
        (Command::SetSynced { judged: None, version: far }, Some(far)),
        (Command::SetSynced { judged: None, version: 5 }, Some(far)),
        (Command::SetSynced { judged: Some(far), version: 5 }, Some(5)),
        (Command::GetSynced, Some(5)),
    ] {
        assert_eq!(holds.apply(command).await, Reply::Synced(expected));
    }
}

async fn every_sku_with_a_register_or_a_counter_is_found(holds: TestHolds) {
    let names: Vec<_> = (0..1500).map(|i| format!("sku-{i}")).collect();
    holds.stock(&names.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>()).await;
    holds.stock(&[("only-held", 1)]).await;
    holds.apply(reserve("1", &[("only-held", 1)])).await;
    holds.apply(Command::Push { rows: vec![(sku("only-held"), None)] }).await;

    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let Reply::Skus(skus, next) = holds.apply(Command::Skus { cursor }).await else { panic!("no skus") };
        seen.extend(skus);
        cursor = next;
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 1501);
    assert!(seen.contains(&sku("only-held")));
}

async fn commands_of_one_call_follow_each_other(holds: TestHolds) {
    let push = Command::Push { rows: vec![(sku("a"), Some(row(1, 1)))] };
    let replies = holds.try_all(vec![
        reserve("1", &[("a", 1)]),
        push,
        reserve("1", &[("a", 1)]),
        reserve("2", &[("a", 1)]),
        cancel("1"),
        reserve("2", &[("a", 1)]),
    ]);
    let found: Vec<_> = replies.await.expect("answers").iter().map(|reply| outcome(reply).0).collect();
    assert_eq!(found, ["missing", "other", "accepted", "short", "accepted", "accepted"]);
    assert_eq!(holds.try_all(vec![]).await.expect("answers"), []);
}

/// An order of `count` lines.
fn wide(name: &str, count: usize) -> Command {
    let names: Vec<_> = (0..count).map(|number| format!("sku-{number:03}")).collect();
    reserve(name, &names.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>())
}

/// Asks until all are answered; tells how many commands each call answered.
async fn calls(holds: &TestHolds, mut commands: Vec<Command>) -> Vec<usize> {
    let mut sizes = Vec::new();
    while !commands.is_empty() {
        let replies = holds.holds.apply(&holds.location, &commands).await.expect("answers");
        assert!(!replies.is_empty(), "every call makes progress");
        sizes.push(replies.len());
        commands.drain(..replies.len());
    }
    sizes
}

async fn a_call_ends_when_its_work_is_done(holds: TestHolds) {
    let rows = (0..100).map(|number| (sku(&format!("sku-{number:03}")), Some(row(1, 1_000_000)))).collect();
    holds.apply(Command::Push { rows }).await;
    let ids: Vec<_> = (0..100).map(|number| format!("order-{number}")).collect();
    let of = |command: &dyn Fn(&str) -> Command| ids.iter().map(|id| command(id)).collect::<Vec<_>>();
    // Shared calls answer all; a store by itself answers the first.
    let is_shared = calls(&holds, of(&|id| wide(id, 100))).await == [100];
    let expect = async |commands: Vec<Command>, expected: &[usize], what: &str| {
        let sizes = calls(&holds, commands).await;
        let expected = if is_shared { &[100][..] } else { expected };
        assert_eq!(sizes, expected, "{what}");
    };
    // What costs little however large the record is.
    expect(of(&|id| Command::Get { id: self::id(id) }), &[100], "get").await;
    expect(of(&|id| extend(id, TTL_MS * 2, false)), &[100], "extend").await;
    // One command and a hundred lines each, until 2000 are passed.
    expect(of(&cancel), &[20; 5], "cancel").await;
    // They are cancelled already.
    expect(of(&cancel), &[100], "cancel again").await;
}

async fn a_page_ends_by_its_bytes(holds: TestHolds) {
    // Names of the greatest length.
    let names: Vec<_> = (0..100).map(|number| format!("{}{number:03}", "x".repeat(125))).collect();
    let rows = names.iter().map(|name| (sku(name), Some(row(1, 1_000_000)))).collect();
    holds.apply(Command::Push { rows }).await;
    let wanted: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    for number in 0..50 {
        holds.at(number);
        holds.apply(reserve(&format!("order-{number}"), &wanted)).await;
    }
    let (mut after, mut sizes, mut seen) = (None, Vec::new(), Vec::new());
    loop {
        let Reply::Page(page) = holds.apply(Command::List { after, limit: 500 }).await else { panic!("no page") };
        sizes.push(page.reservations.len());
        seen.extend(page.reservations.into_iter().map(|reservation| reservation.id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [20, 20, 10], "13 KB each, 256 KiB a page");
    assert_eq!(seen, (0..50).map(|number| format!("order-{number}")).collect::<Vec<_>>());
}

macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test] async fn $case() { super::$case(super::TestHolds::embedded().await).await })*
        }
        mod redis {
            $(#[tokio::test] async fn $case() { super::$case(super::TestHolds::redis().await).await })*
        }
        mod batched {
            $(#[tokio::test] async fn $case() { super::$case(super::TestHolds::batched().await).await })*
        }
    };
}

contract! {
    a_life_in_time,
    cancelled_is_final,
    a_tombstone_refuses_the_reserve_that_arrives_late,
    a_hold_ends_at_its_deadline_to_the_millisecond,
    extending_never_shortens_and_is_capped,
    an_expired_reservation_can_take_its_stock_again,
    what_has_ended_is_forgotten_after_the_retention_time,
    a_location_without_stock_keeps_no_tombstones,
    tombstones_are_bounded_and_no_other_cancel_is,
    what_an_index_lacks_is_entered_again,
    telling_the_same_end_again_leaves_nothing_behind,
    what_ended_before_the_clock_went_back_does_not_keep_the_rest_from_being_forgotten,
    confirming_a_part_releases_the_rest_at_once,
    all_lines_or_none_and_every_short_one_is_named,
    floors_and_retired_skus_count,
    what_is_unknown_is_missing_until_it_is_pushed,
    a_register_takes_only_newer_rows,
    the_largest_numbers_keep_every_digit,
    settling_refuses_to_drop_a_hold_without_its_rows,
    the_final_word_overrides_what_the_store_believes,
    ten_thousand_holds_that_expire_in_the_same_millisecond,
    the_sweeper_frees_what_is_overdue,
    names_that_look_alike_are_different,
    pages_show_every_live_hold_once_in_order_of_the_deadline,
    what_waits_for_its_settlement_is_claimed_once_a_grace_period,
    what_waits_is_claimed_also_when_the_clock_went_back,
    repairs_change_nothing_if_traffic_was_faster,
    the_sync_mark_changes_only_if_it_is_still_what_was_judged,
    every_sku_with_a_register_or_a_counter_is_found,
    commands_of_one_call_follow_each_other,
    a_call_ends_when_its_work_is_done,
    a_page_ends_by_its_bytes,
}
