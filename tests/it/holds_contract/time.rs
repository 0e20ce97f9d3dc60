//! What time does: overdue holds are reclaimed in bounded steps, and what has ended is forgotten.

use super::*;

cases! {
    ten_thousand_holds_that_expire_together_are_reclaimed_in_bounded_calls
    the_sweeper_frees_what_is_overdue
    what_has_ended_is_forgotten_after_the_retention_time
    an_end_that_is_told_again_adds_no_entry
    a_clock_that_went_back_does_not_keep_ended_reservations_from_being_forgotten
}

async fn ten_thousand_holds_that_expire_together_are_reclaimed_in_bounded_calls(holds: TestHolds) {
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

async fn what_has_ended_is_forgotten_after_the_retention_time(holds: TestHolds) {
    holds.stock(&[("a", 1000)]).await;
    // The retention of the test's settings, in ms.
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
    holds.at(TTL_MS);
    holds.sweep().await;
    let (again, latest) = (TTL_MS + 1000, retention - 1);
    holds.apply(extend("revived", latest, true)).await;
    holds.apply(extend("ends again", again, true)).await;
    holds.at(again);
    holds.sweep().await;

    for (ms, remembered) in [
        (retention - 1, "confirmed waits expired revived again crowd"),
        (retention, "waits expired revived again crowd"),
        (retention + TTL_MS - 1, "waits expired revived again crowd"),
        (retention + TTL_MS, "waits revived again"),
        (retention + again, "waits revived"),
        (retention + latest, "waits"),
        (9 * retention, "waits"),
    ] {
        holds.at(ms);
        holds.sweep().await;
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
    holds.at(10 * retention);
    holds.sweep().await;
    assert_eq!(holds.state("waits").await, None);
}

async fn an_end_that_is_told_again_adds_no_entry(holds: TestHolds) {
    holds.stock(&[("a", 9)]).await;
    holds.apply(reserve("confirmed", &[("a", 1)])).await;
    for _ in 0..3 {
        holds.apply(cancel("cancelled")).await;
        holds.apply(settle("cancelled", Cancelled, &[], &[])).await;
        holds.apply(settle("confirmed", Confirmed, &[("a", 1)], &[("a", 8)])).await;
    }
    if let Some(prefix) = holds.store.redis_prefix() {
        let client = client(&required("STOCKHOLD_TEST_REDIS_URL")).await;
        let entries: Vec<String> =
            run_redis(&client, "LRANGE", &[&format!("{prefix}:{{test}}:ended"), "0", "-1"]).await;
        assert_eq!(entries, ["cancelled", "confirmed"].map(|name| format!("{START_MS}\t{name}")));
    }
}

async fn a_clock_that_went_back_does_not_keep_ended_reservations_from_being_forgotten(holds: TestHolds) {
    let hour = 3_600_000;
    holds.stock(&[("a", 9)]).await;
    holds.at(30 * hour);
    holds.apply(cancel("early")).await;
    holds.apply(settle("early", Cancelled, &[], &[])).await;
    holds.at(0);
    holds.apply(cancel("late")).await;
    holds.apply(settle("late", Cancelled, &[], &[])).await;
    holds.at(hour);
    holds.sweep().await;
    assert_eq!(holds.state("late").await, None);
}
