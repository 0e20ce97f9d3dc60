//! What background work asks for: claims of unsettled reservations, repairs, the sync mark, a walk over all skus.

use super::*;

cases! {
    what_waits_for_its_settlement_is_claimed_once_a_grace_period
    what_waits_is_claimed_also_when_the_clock_went_back
    what_an_index_lacks_is_entered_again
    repairs_change_nothing_if_traffic_was_faster
    the_sync_mark_changes_only_if_it_is_still_what_was_judged
    every_sku_with_a_register_or_a_counter_is_found
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

/// After a failover the clock may be an hour behind. Entries that the old clock wrote must not wait for that hour.
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
    holds.store.lose_indexes(&holds.location).await;
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
    holds.sweep().await;
    assert_eq!(holds.held_available("a").await.0, 2, "held and confirming");
    holds.at(2 * TTL_MS);
    assert_eq!(holds.apply(Command::Sweep).await, Reply::Swept { holds: 1, more: false });
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
