//! What a Reserve may take: registers, floors, retired skus, shortages, large numbers, names.

use super::*;

cases! {
    all_lines_or_none_and_every_short_one_is_named
    floors_and_retired_skus_count
    what_is_unknown_is_missing_until_it_is_pushed
    a_register_takes_only_newer_rows
    the_largest_numbers_keep_every_digit
    names_that_look_alike_are_different
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
    // `held` keeps every digit too, because it is bounded.
    assert_eq!(holds.held_available("a").await, (999_999_999, max - 999_999_999));
    let counters = holds.apply(Command::Counters { skus: vec![sku("a"), sku("b")] }).await;
    let expected = vec![(Some(large), Held { units: 999_999_999, changes: 1 }), (None, Held::default())];
    assert_eq!(counters, Reply::Counters(expected));
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
