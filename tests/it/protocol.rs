//! The protocol between the two stores (confirm, cancel, late confirms, what crashes and lost stores leave behind),
//! over the embedded pair and over real servers.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::ConnectionTrait;
use stockhold::domain::{Outcome, State};
use stockhold::holds::{Command, Reply};
use stockhold::ledger::{Intent, Ledger, LedgerConfig};
use stockhold::service::LatePolicy::{Reacquire, Reject};
use stockhold::service::Service;
use stockhold::service::reconcile::{FindingKind, ReconcileReport};

use crate::support::holds::{TTL_MS, begin, cancel, id, lines, location, reserve, row, sku};
use crate::support::redis::{client, run};
use crate::support::service::Came::{Refused, To};
use crate::support::service::{LocalService, came, limits};
use crate::support::{eventually, required};

async fn an_order_is_reserved_and_confirmed(it: LocalService) {
    it.set("a", 10).await;
    assert_eq!(it.reserve("1", &[("a", 3)]).await, To(State::Held));
    assert_eq!(it.stock("a").await, (10, 3));
    for _ in 0..3 {
        assert_eq!(it.confirm("1").await, To(State::Confirmed));
        assert_eq!(it.stock("a").await, (7, 0));
    }
    assert_eq!(it.reserve("1", &[("a", 3)]).await, To(State::Confirmed));
    assert_eq!(it.reserve("1", &[("a", 2)]).await, Refused("id reused"));
    assert_eq!(it.cancel("1").await, Refused("confirmed"));
    assert_eq!(it.extend("1", TTL_MS, Reject).await, Refused("confirmed"));
    assert_eq!(it.get("1").await, To(State::Confirmed));
    it.ends_in_order().await;
}

async fn an_order_is_cancelled_for_good(it: LocalService) {
    it.set("a", 10).await;
    assert_eq!(it.reserve("1", &[("a", 3)]).await, To(State::Held));
    for _ in 0..3 {
        assert_eq!(it.cancel("1").await, To(State::Cancelled));
        assert_eq!(it.stock("a").await, (10, 0));
    }
    assert_eq!(it.confirm("1").await, Refused("cancelled"));
    assert_eq!(it.reacquire("1").await, Refused("cancelled"));
    assert_eq!(it.reserve("1", &[("a", 3)]).await, Refused("cancelled"));
    it.ends_in_order().await;
}

async fn a_cancel_that_overtakes_its_reserve_wins(it: LocalService) {
    it.set("a", 10).await;
    assert_eq!(it.cancel("1").await, To(State::Cancelled));
    assert_eq!(it.reserve("1", &[("a", 3)]).await, Refused("cancelled"));
    assert_eq!(it.confirm("1").await, Refused("cancelled"));
    assert_eq!(it.stock("a").await, (10, 0));
    it.ends_in_order().await;
}

async fn a_location_exists_once_a_sku_was_created_in_it(it: LocalService) {
    assert_eq!(it.cancel("1").await, Refused("unknown location"));
    // Created by another instance, which has the registers: seen at once although it was unknown just now.
    it.set("a", 10).await;
    assert_eq!(it.cancel("1").await, To(State::Cancelled));
    // A holds' store that has lost everything asks the ledger.
    it.forget_holds().await;
    assert_eq!(it.cancel("2").await, To(State::Cancelled));
    assert_eq!(it.reserve("2", &[("a", 1)]).await, Refused("cancelled"));
    assert_eq!(it.confirm("3").await, Refused("not found"));
    it.ends_in_order().await;
}

/// One caller cancels in thousands of locations that do not exist.
async fn locations_that_do_not_exist_leave_nothing_behind(it: LocalService) {
    it.set("a", 10).await;
    let (mut unknown, mut overloaded) = (0, 0);
    let flood = (0..2000).map(|number| {
        let service = Arc::clone(&it.service);
        async move { service.cancel(&location(&format!("l-{}", number / 2)), id("1")).await }
    });
    for answer in futures::future::join_all(flood).await {
        match answer {
            Err(stockhold::service::Error::Refused(stockhold::domain::Refusal::UnknownLocation(_))) => unknown += 1,
            Err(stockhold::service::Error::Overloaded) => overloaded += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(unknown + overloaded, 2000);
    assert!(unknown >= 64, "{unknown} were looked up");
    assert_eq!(it.reserve("1", &[("a", 1)]).await, To(State::Held));
    it.service.quiet().await;
    eventually("no location has a queue", Duration::from_secs(10), async || it.holds.locations() == 0).await;
    if let Some(prefix) = it.redis_prefix() {
        let client = client(&required("STOCKHOLD_TEST_REDIS_URL")).await;
        let keys: Vec<String> = run(&client, "KEYS", &[&format!("{prefix}:{{l-*")]).await;
        assert_eq!(keys, Vec::<String>::new());
    }
    it.ends_in_order().await;
}

async fn reconcile_enters_what_an_index_lacks(it: LocalService) {
    it.set("a", 10).await;
    it.reserve("held", &[("a", 1)]).await;
    it.at_holds(cancel("cancelled")).await;
    it.lose_indexes().await;
    // It is seen by no list.
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

async fn a_part_is_confirmed_and_the_rest_is_free(it: LocalService) {
    it.set("a", 10).await;
    it.set("b", 10).await;
    assert_eq!(it.reserve("1", &[("a", 3), ("b", 2)]).await, To(State::Held));
    assert_eq!(it.confirm_part("1", &[("a", 4)]).await, Refused("mismatch"));
    assert_eq!(it.confirm_part("1", &[("a", 1)]).await, To(State::Confirmed));
    assert_eq!((it.stock("a").await, it.stock("b").await), ((9, 0), (10, 0)));
    assert_eq!(it.confirm_part("1", &[("a", 1)]).await, To(State::Confirmed));
    assert_eq!(it.confirm("1").await, Refused("mismatch"));

    it.forget_holds().await;
    assert_eq!(it.confirm("1").await, Refused("mismatch"));
    assert_eq!(it.confirm_part("1", &[("a", 2)]).await, Refused("mismatch"));
    assert_eq!(it.confirm_part("1", &[("a", 1)]).await, To(State::Confirmed));
    let confirmed = it.confirm_with("1", Some(lines(&[("a", 1)])), Reject).await.expect("the same answer");
    assert_eq!(confirmed.lines, lines(&[("a", 1)]));
    it.ends_in_order().await;
}

async fn late_confirms_follow_their_policy(it: LocalService) {
    it.set("a", 3).await;
    for name in ["1", "2"] {
        it.clock.at(0);
        assert_eq!(it.reserve(name, &[("a", 3)]).await, To(State::Held));
        it.clock.at(TTL_MS);
        assert_eq!(it.confirm(name).await, Refused("expired"));
        assert_eq!(it.get(name).await, To(State::Expired));
    }
    assert_eq!(it.reacquire("1").await, To(State::Confirmed));
    assert_eq!(it.stock("a").await, (0, 0));
    // The stock is gone now, and that is final: no duplicate may deduct later what the caller was told is gone.
    assert_eq!(it.reacquire("2").await, Refused("rejected"));
    it.set("a", 100).await;
    assert_eq!(it.reacquire("2").await, Refused("rejected"));
    assert_eq!(it.cancel("2").await, To(State::Rejected));
    assert_eq!(it.get("2").await, To(State::Rejected));
    assert_eq!(it.stock("a").await, (100, 0));
    it.ends_in_order().await;
}

async fn the_customer_who_comes_back_takes_the_stock_again(it: LocalService) {
    it.set("a", 3).await;
    assert_eq!(it.reserve("1", &[("a", 3)]).await, To(State::Held));
    it.clock.at(TTL_MS);
    assert_eq!(it.extend("1", 2 * TTL_MS, Reject).await, Refused("expired"));
    assert_eq!(it.reserve("2", &[("a", 1)]).await, To(State::Held));
    assert_eq!(it.extend("1", 2 * TTL_MS, Reacquire).await, Refused("short"));
    assert_eq!(it.cancel("2").await, To(State::Cancelled));
    assert_eq!(it.extend("1", 2 * TTL_MS, Reacquire).await, To(State::Held));
    assert_eq!(it.extend("1", 7_200_001, Reject).await, Refused("invalid"));
    assert_eq!(it.extend("nobody", 2 * TTL_MS, Reject).await, Refused("not found"));
    assert_eq!(it.confirm("1").await, To(State::Confirmed));
    it.ends_in_order().await;
}

async fn unknown_skus_and_ids_are_named(it: LocalService) {
    it.set("a", 3).await;
    assert_eq!(it.reserve("1", &[("a", 1), ("b", 1)]).await, Refused("unknown sku"));
    assert_eq!(it.confirm("1").await, Refused("not found"));
    assert_eq!(it.get("1").await, Refused("not found"));
    it.set("b", 1).await;
    assert_eq!(it.reserve("1", &[("a", 1), ("b", 1)]).await, To(State::Held));
    assert_eq!(it.cancel("1").await, To(State::Cancelled));
    it.ends_in_order().await;
}

async fn a_confirm_that_crashed_is_rolled_forward(it: LocalService) {
    it.set("a", 10).await;
    for name in ["begun", "committed"] {
        it.reserve(name, &[("a", 1)]).await;
        it.at_holds(begin(name)).await;
    }
    let print = lines(&[("a", 1)]).fingerprint();
    let intent = Intent::Confirm { lines: lines(&[("a", 1)]), reserved: print, confirmed: print };
    let place = it.ledger.queue_permit(&location("l")).expect("a place");
    place.settle(location("l"), id("committed"), intent).await.expect("commits");
    assert_eq!(it.stock("a").await, (10, 2), "never too generous in between");
    // Long after the deadline.
    it.clock.at(10 * TTL_MS);
    assert_eq!(it.get("committed").await, To(State::Confirmed));
    assert_eq!(it.get("begun").await, To(State::Confirming));
    assert_eq!(it.recover().await, 1);
    assert_eq!(it.recover().await, 0);
    for name in ["begun", "committed"] {
        assert_eq!(it.get(name).await, To(State::Confirmed));
        assert_eq!(it.confirm(name).await, To(State::Confirmed));
    }
    assert_eq!(it.stock("a").await, (8, 0));
    it.ends_in_order().await;
}

async fn a_cancel_that_crashed_is_settled(it: LocalService) {
    it.set("a", 10).await;
    it.reserve("1", &[("a", 1)]).await;
    for name in ["1", "never seen"] {
        it.at_holds(cancel(name)).await;
    }
    assert_eq!(it.stock("a").await, (10, 0), "free at once");
    assert_eq!(it.recover().await, 2);
    it.forget_holds().await;
    for name in ["1", "never seen"] {
        assert_eq!(it.get(name).await, To(State::Cancelled));
    }
    it.ends_in_order().await;
}

/// The ledger has the last word, also where a crash kept it from the holds' store.
async fn what_the_ledger_rejected_is_not_revived(it: LocalService) {
    it.set("a", 4).await;
    let names = ["extend", "confirm", "get", "reserve"];
    for name in names {
        it.reserve(name, &[("a", 1)]).await;
    }
    it.clock.at(TTL_MS);
    for name in names {
        assert_eq!(it.get(name).await, To(State::Expired));
        let place = it.ledger.queue_permit(&location("l")).expect("a place");
        let reject = Intent::Reject { lines: lines(&[("a", 1)]) };
        place.settle(location("l"), id(name), reject).await.expect("settles");
        // Each call is the first to hear of it.
        let told = match name {
            "extend" => it.extend(name, 2 * TTL_MS, Reacquire).await,
            "confirm" => it.reacquire(name).await,
            "get" => it.get(name).await,
            _ => it.reserve(name, &[("a", 1)]).await,
        };
        assert_eq!(told, if name == "get" { To(State::Rejected) } else { Refused("rejected") }, "{name}");
        assert_eq!(it.reacquire(name).await, Refused("rejected"), "{name}");
    }
    assert_eq!(it.stock("a").await, (4, 0));
    it.ends_in_order().await;
}

/// A Redis that is rewound may forget a cancel that crashed before its settlement. Callers must be told the truth.
async fn no_caller_is_told_of_a_cancel_before_it_is_settled(it: LocalService) {
    it.set("a", 10).await;
    for name in ["get", "confirm", "reserve", "extend"] {
        it.reserve(name, &[("a", 2)]).await;
        it.at_holds(cancel(name)).await;
        let told = match name {
            "get" => it.get(name).await,
            "confirm" => it.confirm(name).await,
            "reserve" => it.reserve(name, &[("a", 2)]).await,
            _ => it.extend(name, 2 * TTL_MS, Reject).await,
        };
        assert_eq!(told, if name == "get" { To(State::Cancelled) } else { Refused("cancelled") });
    }
    it.forget_holds().await;
    for name in ["get", "confirm", "reserve", "extend"] {
        assert_eq!(it.reserve(name, &[("a", 2)]).await, To(State::Held), "{name}");
        assert_eq!(it.confirm(name).await, Refused("cancelled"), "{name}");
    }
    it.ends_in_order().await;
}

async fn a_cancel_can_win_against_a_confirm_that_crashed(it: LocalService) {
    it.set("a", 10).await;
    it.reserve("1", &[("a", 1)]).await;
    it.at_holds(begin("1")).await;
    assert_eq!(it.cancel("1").await, To(State::Cancelled));
    assert_eq!(it.stock("a").await, (10, 0));
    assert_eq!(it.recover().await, 0);
    assert_eq!(it.confirm("1").await, Refused("cancelled"));
    it.ends_in_order().await;
}

async fn supply_that_was_lowered_below_a_hold_rejects_its_confirm(it: LocalService) {
    it.set("a", 10).await;
    it.reserve("1", &[("a", 6)]).await;
    it.set_with_floor("a", 10, 5).await;
    assert_eq!(it.reserve("2", &[("a", 1)]).await, Refused("short"));
    assert_eq!(it.confirm("1").await, Refused("rejected"));
    assert_eq!(it.confirm("1").await, Refused("rejected"));
    assert_eq!(it.stock("a").await, (10, 0));
    it.ends_in_order().await;
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

/// A Redis that was rewound believes in holds whose end it forgot.
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

async fn reconcile_finds_and_repairs_what_a_rewound_store_got_wrong(it: LocalService) {
    let item = it.set("a", 10).await;
    it.set("b", 10).await;
    it.reserve("1", &[("a", 1)]).await;
    it.confirm("1").await;
    it.forget_holds().await;
    // A phantom hold, a register from before the confirm, another from a lost future, and a counter that leaked.
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
    // Settling the phantom pushes its row on the way.
    assert_eq!(found(false).await, [settled, ahead, leaked]);
    assert_eq!(found(false).await, []);
    assert_eq!((it.stock("a").await, it.stock("b").await), ((9, 0), (10, 0)));
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
    assert_eq!(it.service.reconcile_stores(&location("l")).await.map(count).expect("compares"), 0, "books wait");
    assert_eq!(it.service.reconcile_books(&location("l")).await.map(count).expect("compares"), 1);
    deduct("UPDATE deductions SET quantity = 2").await;
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

    // A row that the mark has passed already: its version was drawn before, its transaction committed after.
    let Reply::Counters(counters) = it.at_holds(Command::Counters { skus: vec![sku("b")] }).await else { panic!() };
    it.at_holds(Command::ReplaceRegister { sku: sku("b"), judged: counters[0].0, row: Some(old_b) }).await;
    assert_eq!(it.service.sync(&location("l")).await.expect("syncs"), 1);
    assert_eq!(it.stock("b").await.0, 21);

    // A mark from a clock that was ahead, as a failover may leave it.
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

async fn lists_show_live_holds_page_by_page(it: LocalService) {
    it.set("a", 100).await;
    it.set("b", 100).await;
    for i in 0..10_u64 {
        it.clock.at(i);
        it.reserve(&format!("order-{i}"), &[(if i % 2 == 0 { "a" } else { "b" }, 1)]).await;
    }
    it.confirm("order-2").await;
    it.at_holds(begin("order-4")).await;
    // The deadline of the first three has passed, but they were not reclaimed yet.
    it.clock.at(TTL_MS + 2);
    for (filter, expected) in [(None, "3 5 6 7 8 9 4"), (Some("a"), "6 8 4"), (Some("b"), "3 5 7 9"), (Some("c"), "")] {
        for page_size in [1, 2, 100] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let filter = filter.map(sku);
                let page = it.service.list_reservations(&location("l"), filter.as_ref(), page_size, after).await;
                let (reservations, next) = page.expect("lists");
                assert!(reservations.len() <= page_size);
                seen.extend(reservations.iter().map(|r| r.id.as_str().replace("order-", "")));
                after = next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen.join(" "), expected, "{filter:?} by {page_size}");
        }
    }
    let (page, next) = it.service.list_stock(&location("l"), 1, None).await.expect("lists");
    assert_eq!((page[0].sku.as_str(), page[0].held), ("a", 3));
    let (page, next) = it.service.list_stock(&location("l"), 1, next).await.expect("lists");
    assert_eq!((page[0].sku.as_str(), page[0].held), ("b", 4));
    let (page, next) = it.service.list_stock(&location("l"), 1, next).await.expect("lists");
    assert_eq!((page.len(), next), (0, None));
    it.ends_in_order().await;
}

async fn racing_confirms_and_cancels_agree_on_one_end(it: LocalService) {
    it.set("a", 50).await;
    for round in 0..20 {
        let name = format!("order-{round}");
        it.reserve(&name, &[("a", 1)]).await;
        let calls = (0..8).map(|i| {
            let (it, name) = (&it, &name);
            async move { if i % 2 == 0 { it.confirm(name).await } else { it.cancel(name).await } }
        });
        let answers = futures::future::join_all(calls).await;
        let confirmed = answers.contains(&To(State::Confirmed));
        for answer in &answers {
            let expected = if confirmed {
                [To(State::Confirmed), Refused("confirmed")]
            } else {
                [To(State::Cancelled), Refused("cancelled")]
            };
            assert!(expected.contains(answer), "{name}: {answers:?}");
        }
    }
    it.ends_in_order().await;
}

async fn the_ledger_has_what_was_confirmed_and_nothing_else(it: LocalService) {
    it.set("a", 10).await;
    it.reserve("1", &[("a", 2)]).await;
    it.confirm("1").await;
    it.reserve("2", &[("a", 2)]).await;
    it.cancel("2").await;
    it.reserve("3", &[("a", 2)]).await;
    let settled = it.ledger.settlements(&location("l"), &["1", "2", "3"].map(id)).await.expect("reads");
    let settled: Vec<_> = settled.into_iter().map(|s| (s.id.to_string(), s.outcome, s.lines)).collect();
    assert_eq!(settled.len(), 2);
    assert!(settled.contains(&("1".into(), Outcome::Confirmed, lines(&[("a", 2)]))), "{settled:?}");
    assert!(settled.contains(&("2".into(), Outcome::Cancelled, Default::default())), "{settled:?}");
    let books = it.ledger.books(&location("l"), None).await.expect("reads");
    assert_eq!((books[0].on_hand, books[0].moved, books[0].deducted), (8, 10, 2));
    it.ends_in_order().await;
}

#[tokio::test]
async fn a_queue_of_one_is_enough_for_a_call() {
    let it = LocalService::embedded().await;
    let config = LedgerConfig { url: it.database.url.clone(), connections_max: 2, queue_max: 1, batch_max: 1 };
    let ledger = Ledger::connect(&config).await.expect("connects");
    let service = Arc::new(Service::new(it.holds.clone(), ledger, limits()));
    it.set("a", 10).await;
    it.reserve("1", &[("a", 1)]).await;
    it.at_holds(cancel("1")).await;
    // It settles the cancel on its way.
    assert_eq!(came(service.confirm(&location("l"), id("1"), None, Reject).await), Refused("cancelled"));
    it.ends_in_order().await;
}

macro_rules! protocol {
    ($($case:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test] async fn $case() { super::$case(super::LocalService::embedded().await).await })*
        }
        mod servers {
            $(#[tokio::test] async fn $case() { super::$case(super::LocalService::servers().await).await })*
        }
    };
}

protocol! {
    an_order_is_reserved_and_confirmed,
    an_order_is_cancelled_for_good,
    a_cancel_that_overtakes_its_reserve_wins,
    a_location_exists_once_a_sku_was_created_in_it,
    locations_that_do_not_exist_leave_nothing_behind,
    reconcile_enters_what_an_index_lacks,
    a_part_is_confirmed_and_the_rest_is_free,
    late_confirms_follow_their_policy,
    the_customer_who_comes_back_takes_the_stock_again,
    unknown_skus_and_ids_are_named,
    a_confirm_that_crashed_is_rolled_forward,
    a_cancel_that_crashed_is_settled,
    what_the_ledger_rejected_is_not_revived,
    no_caller_is_told_of_a_cancel_before_it_is_settled,
    a_cancel_can_win_against_a_confirm_that_crashed,
    supply_that_was_lowered_below_a_hold_rejects_its_confirm,
    an_emptied_store_fills_itself_and_forgets_only_holds,
    a_phantom_hold_never_deducts_again,
    reconcile_finds_and_repairs_what_a_rewound_store_got_wrong,
    reconcile_tells_of_books_that_do_not_balance_and_leaves_them,
    sync_pushes_what_missed_its_push,
    lists_show_live_holds_page_by_page,
    racing_confirms_and_cancels_agree_on_one_end,
    the_ledger_has_what_was_confirmed_and_nothing_else,
}
