//! Tombstones: ids that were cancelled and never held. They are remembered, and they are bounded.

use super::*;

cases! {
    a_tombstone_refuses_the_reserve_that_arrives_late
    a_location_without_stock_keeps_no_tombstones
    tombstones_are_bounded_and_no_other_cancel_is
}

const UNKNOWN_LOCATION: (&str, Option<State>) = ("unknown location", None);
const TOMBSTONES_FULL: (&str, Option<State>) = ("tombstones full", None);

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
    ];
    run(&holds, table).await;
}

async fn a_location_without_stock_keeps_no_tombstones(holds: TestHolds) {
    for command in [cancel("1"), begin("1"), extend("1", 10, true), Command::Get { id: id("1") }, Command::Sweep] {
        holds.apply(command).await;
    }
    assert_eq!(outcome(&holds.apply(cancel("1")).await), UNKNOWN_LOCATION);
    assert!(!holds.store.keeps_something().await);
    holds.stock(&[("a", 2)]).await;
    assert_eq!(outcome(&holds.apply(cancel("1")).await), CANCELLED);
    holds.apply(Command::Push { rows: vec![(sku("a"), None)] }).await;
    assert_eq!(outcome(&holds.apply(cancel("1")).await), CANCELLED, "it is remembered");
    assert_eq!(outcome(&holds.apply(cancel("2")).await), UNKNOWN_LOCATION);
    // The same within one call.
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
        // What only the ledger remembers is not kept.
        (late, settle("from the ledger", Cancelled, &[], &[]), NOT_FOUND, 0),
        (late, cancel("from the ledger"), TOMBSTONES_FULL, 0),
        // A tombstone that is settled as cancelled stays one. Settled as confirmed it no longer is.
        (late, settle("never seen 0", Cancelled, &[], &[]), CANCELLED, 0),
        (late, settle("never seen 0", Cancelled, &[], &[]), CANCELLED, 0),
        (late, cancel("new"), TOMBSTONES_FULL, 0),
        (late, settle("never seen 1", Confirmed, &[("a", 1)], &[("a", 9)]), CONFIRMED, 0),
        (late, cancel("new"), CANCELLED, 0),
        (late, cancel("newer"), TOMBSTONES_FULL, 0),
    ];
    run(&holds, full.into()).await;
    // Forgotten tombstones no longer count.
    for number in 0..max {
        holds.apply(settle(&format!("never seen {number}"), Cancelled, &[], &[])).await;
    }
    holds.apply(settle("new", Cancelled, &[], &[])).await;
    holds.at(3 * 3_600_000);
    holds.sweep().await;
    assert_eq!(holds.state("never seen 3").await, None);
    assert_eq!(fill().await, max);
}
