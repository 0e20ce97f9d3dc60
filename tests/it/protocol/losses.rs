//! A holds' store that lost its data, or went back to older data: it heals, and nothing is deducted twice.

use super::*;

cases! {
    an_emptied_store_fills_itself_and_forgets_only_holds
    a_phantom_hold_never_deducts_again
    sync_pushes_what_missed_its_push
    reconcile_finds_and_repairs_what_a_rewound_store_got_wrong
    reconcile_enters_what_an_index_lacks
    reconcile_tells_of_books_that_do_not_balance_and_leaves_them
}

async fn an_emptied_store_fills_itself_and_forgets_only_holds(it: LocalService) {
    it.set("a", 10).await;
    it.reserve("held", &[("a", 1)]).await;
    it.reserve("sold", &[("a", 2)]).await;
    it.reserve("given back", &[("a", 3)]).await;
    assert_eq!(it.confirm("sold").await, To(State::Confirmed));
    assert_eq!(it.cancel("given back").await, To(State::Cancelled));
    it.forget_holds().await;

    assert_eq!(it.confirm("held").await, Refused("not found"));
    assert_eq!(it.confirm("sold").await, To(State::Confirmed));
    assert_eq!(it.confirm("given back").await, Refused("cancelled"));
    it.forget_holds().await;
    assert_eq!(it.cancel("sold").await, Refused("confirmed"));
    assert_eq!(it.get("given back").await, To(State::Cancelled));
    it.forget_holds().await;
    assert_eq!(it.extend("sold", TTL_MS, Reject).await, Refused("confirmed"));
    assert_eq!(it.reserve("new", &[("a", 8)]).await, To(State::Held));
    assert_eq!(it.stock("a").await, (8, 8));
    it.ends_in_order().await;
}

/// A Redis that was rewound has holds again whose end it forgot.
async fn a_phantom_hold_never_deducts_again(it: LocalService) {
    it.set("a", 10).await;
    for name in ["sold", "sold otherwise", "given back"] {
        it.reserve(name, &[("a", 2)]).await;
    }
    assert_eq!(it.confirm("sold").await, To(State::Confirmed));
    assert_eq!(it.confirm_part("sold otherwise", &[("a", 1)]).await, To(State::Confirmed));
    assert_eq!(it.cancel("given back").await, To(State::Cancelled));
    it.forget_holds().await;
    for name in ["sold", "sold otherwise", "given back"] {
        assert_eq!(it.reserve(name, &[("a", 2)]).await, To(State::Held), "{name}");
    }
    assert_eq!(it.confirm("sold").await, To(State::Confirmed));
    for _ in 0..2 {
        assert_eq!(it.confirm("sold otherwise").await, Refused("mismatch"));
        assert_eq!(it.confirm_part("sold otherwise", &[("a", 1)]).await, To(State::Confirmed));
    }
    assert_eq!(it.confirm("given back").await, Refused("cancelled"));
    assert_eq!(it.stock("a").await, (7, 0));
    it.ends_in_order().await;
}

async fn sync_pushes_what_missed_its_push(it: LocalService) {
    let (old_a, old_b) = (it.set("a", 10).await.row, it.set("b", 20).await.row);
    it.set("a", 11).await;
    it.set("b", 21).await;
    it.forget_holds().await;
    it.at_holds(Command::Push { rows: vec![(sku("a"), Some(old_a)), (sku("b"), Some(old_b))] }).await;
    assert_eq!((it.stock("a").await.0, it.stock("b").await.0), (10, 20));
    assert_eq!(it.service.sync(&location("l")).await.expect("syncs"), 2);
    assert_eq!((it.stock("a").await.0, it.stock("b").await.0), (11, 21));
    assert_eq!(it.service.sync(&location("l")).await.expect("syncs"), 0);

    // The mark has already passed this row, whose version is older than its commit.
    let Reply::Counters(counters) = it.at_holds(Command::Counters { skus: vec![sku("b")] }).await else { panic!() };
    it.at_holds(Command::ReplaceRegister { sku: sku("b"), judged: counters[0].0, row: Some(old_b) }).await;
    assert_eq!(it.service.sync(&location("l")).await.expect("syncs"), 1);
    assert_eq!(it.stock("b").await.0, 21);

    // The mark is from a clock that was ahead, as a failover may leave it.
    let Reply::Synced(judged) = it.at_holds(Command::GetSynced).await else { panic!() };
    it.at_holds(Command::SetSynced { judged, version: i64::MAX >> 10 }).await;
    let older = it.set("a", 12).await.row;
    it.set("a", 13).await;
    let Reply::Counters(counters) = it.at_holds(Command::Counters { skus: vec![sku("a")] }).await else { panic!() };
    it.at_holds(Command::ReplaceRegister { sku: sku("a"), judged: counters[0].0, row: Some(older) }).await;
    assert_eq!(it.service.sync(&location("l")).await.expect("syncs"), 1);
    assert_eq!(it.stock("a").await.0, 13);
    it.ends_in_order().await;
}

async fn reconcile_finds_and_repairs_what_a_rewound_store_got_wrong(it: LocalService) {
    let item = it.set("a", 10).await;
    it.set("b", 10).await;
    it.reserve("1", &[("a", 1)]).await;
    it.confirm("1").await;
    it.forget_holds().await;
    // A phantom hold, a register that is behind, one that is ahead, and a counter that leaked.
    it.at_holds(Command::Push { rows: vec![(sku("a"), Some(item.row)), (sku("b"), Some(row(i64::MAX >> 10, 99)))] })
        .await;
    it.at_holds(reserve("1", &[("a", 1)])).await;
    let Reply::Counters(counters) = it.at_holds(Command::Counters { skus: vec![sku("b")] }).await else { panic!() };
    it.at_holds(Command::ReplaceHeld { sku: sku("b"), judged: counters[0].1, units: 5 }).await;

    let found = async |validate_only| {
        let report = it.service.reconcile(&location("l"), validate_only).await.expect("compares");
        assert_eq!(report.repaired_count, if validate_only { 0 } else { report.finding_count });
        report.findings.into_iter().map(|finding| (finding.kind, finding.sku)).collect::<Vec<_>>()
    };
    let (settled, behind) = ((FindingKind::Settled, None), (FindingKind::Register, Some(sku("a"))));
    let (ahead, leaked) = ((FindingKind::Register, Some(sku("b"))), (FindingKind::Held, Some(sku("b"))));
    let expected = [settled.clone(), behind, ahead.clone(), leaked.clone()];
    assert_eq!(found(true).await, expected);
    assert_eq!(found(true).await, expected, "validate_only repairs nothing");
    // Settling the phantom hold pushes its row too, so `behind` needs no repair.
    assert_eq!(found(false).await, [settled, ahead, leaked]);
    assert_eq!(found(false).await, []);
    assert_eq!((it.stock("a").await, it.stock("b").await), ((9, 0), (10, 0)));
    it.ends_in_order().await;
}

async fn reconcile_enters_what_an_index_lacks(it: LocalService) {
    it.set("a", 10).await;
    it.reserve("held", &[("a", 1)]).await;
    it.at_holds(cancel("cancelled")).await;
    it.lose_indexes().await;
    // No list shows the reservation.
    let (listed, _) = it.service.list_reservations(&location("l"), None, 10, None).await.expect("lists");
    assert_eq!(listed, []);
    let found = async |validate_only: bool| {
        let report = it.service.reconcile(&location("l"), validate_only).await.expect("compares");
        let index = report.findings.iter().filter(|finding| finding.kind == FindingKind::Index);
        let mut ids: Vec<_> = index.filter_map(|finding| finding.id.clone()).collect();
        ids.sort();
        ids
    };
    let lacking = [id("cancelled"), id("held")];
    assert_eq!(found(true).await, lacking);
    assert_eq!(found(true).await, lacking, "validate_only repairs nothing");
    assert_eq!(found(false).await, lacking);
    assert_eq!(found(false).await, []);
    let (listed, _) = it.service.list_reservations(&location("l"), None, 10, None).await.expect("lists");
    assert_eq!(listed.len(), 1);
    it.recover().await;
    assert_eq!(it.get("cancelled").await, To(State::Cancelled));
    it.ends_in_order().await;
}

async fn reconcile_tells_of_books_that_do_not_balance_and_leaves_them(it: LocalService) {
    it.set("a", 10).await;
    it.set("b", 10).await;
    it.reserve("1", &[("a", 2)]).await;
    it.confirm("1").await;
    let database = it.database.connect().await;
    let deduct = async |sql: &str| database.execute_unprepared(sql).await.expect("changes the books");
    deduct("UPDATE deductions SET quantity = 3").await;
    for validate_only in [false, true] {
        let report = it.service.reconcile(&location("l"), validate_only).await.expect("compares");
        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!(
            (finding.kind, finding.sku.as_ref(), finding.repaired),
            (FindingKind::Books, Some(&sku("a")), false)
        );
        assert_eq!(finding.description, "on_hand is 8; movements 10 less deductions 3 are 7");
    }
    let count = |report: ReconcileReport| report.finding_count;
    assert_eq!(it.service.reconcile_stores(&location("l")).await.map(count).expect("compares"), 0, "without books");
    assert_eq!(it.service.reconcile_books(&location("l")).await.map(count).expect("compares"), 1);
    deduct("UPDATE deductions SET quantity = 2").await;
    it.ends_in_order().await;
}
