//! Many at once, through two instances.

use std::collections::BTreeMap;

use stockhold::domain::Outcome::{Cancelled, Confirmed};

use super::*;

cases! { in memory too:
    the_same_id_many_times_is_deducted_once
    confirm_and_cancel_have_one_outcome
    a_hot_sku_is_never_oversold
    crossing_lines_do_not_stop_each_other
    rows_are_those_of_the_end_of_a_batch
    equal_requests_at_once_count_once
    different_requests_under_one_id_count_once
    racing_first_counts_keep_the_books
}

async fn the_same_id_many_times_is_deducted_once(f: &Fixture) {
    f.stock(&[("a", 100)]).await;
    let other = f.another().await;
    let verdicts = together((0..50).map(|number| {
        let ledger = if number % 2 == 0 { &f.ledger } else { &other };
        settle(ledger, "r", confirm(&[("a", 3)]))
    }));
    let mut settlements: Vec<_> = verdicts.await.into_iter().map(|verdict| verdict.unwrap().settlement).collect();
    settlements.dedup();
    assert_eq!(settlements.len(), 1, "{settlements:?}");
    assert_eq!(f.on_hand("a").await, 97);
    other.close().await.unwrap();
}

async fn confirm_and_cancel_have_one_outcome(f: &Fixture) {
    const IDS: i64 = 30;
    f.stock(&[("a", IDS)]).await;
    let other = f.another().await;
    let all = (0..IDS * 4).map(async |number| {
        let name = format!("r{}", number % IDS);
        // Each id is confirmed and cancelled through both.
        let ledger = if (number / IDS) % 2 == 0 { &f.ledger } else { &other };
        let intent = if number % 2 == (number / IDS) / 2 { confirm(&[("a", 1)]) } else { Intent::Cancel };
        (name.clone(), settle(ledger, &name, intent).await.unwrap().settlement)
    });
    let mut outcomes = BTreeMap::<String, Outcome>::new();
    for (name, settlement) in together(all).await {
        let first = *outcomes.entry(name).or_insert(settlement.outcome);
        assert_eq!(first, settlement.outcome, "one outcome for everybody");
        assert!([Confirmed, Cancelled].contains(&first));
    }
    let confirmed = outcomes.values().filter(|outcome| **outcome == Confirmed).count() as i64;
    assert_eq!(f.on_hand("a").await, IDS - confirmed);
    other.close().await.unwrap();
}

async fn a_hot_sku_is_never_oversold(f: &Fixture) {
    f.stock(&[("hot", 50)]).await;
    let other = f.another().await;
    let verdicts = together((0..200).map(async |number| {
        let ledger = if number % 2 == 0 { &f.ledger } else { &other };
        settle(ledger, &format!("r{number}"), confirm(&[("hot", 1)])).await.unwrap()
    }));
    let confirmed = verdicts.await.into_iter().filter(|verdict| verdict.settlement.outcome == Confirmed).count();
    assert_eq!((confirmed, f.on_hand("hot").await), (50, 0));
    other.close().await.unwrap();
}

async fn crossing_lines_do_not_stop_each_other(f: &Fixture) {
    let names = ["a", "b", "c", "d", "e"];
    f.stock(&names.map(|name| (name, 1000))).await;
    let other = f.another().await;
    let verdicts = together((0..120).map(async |number: usize| {
        let ledger = if number.is_multiple_of(2) { &f.ledger } else { &other };
        let wanted = [(names[number % 5], 1), (names[(number * 2 + 1) % 5], 2), (names[(number * 3 + 2) % 5], 3)];
        settle(ledger, &format!("r{number}"), confirm(&wanted)).await.unwrap()
    }));
    assert!(verdicts.await.iter().all(|verdict| verdict.settlement.outcome == Confirmed));
    let mut sold = 0;
    for name in names {
        sold += 1000 - f.on_hand(name).await;
    }
    assert_eq!(sold, 120 * 6);
    other.close().await.unwrap();
}

async fn rows_are_those_of_the_end_of_a_batch(f: &Fixture) {
    f.stock(&[("a", 100)]).await;
    let verdicts =
        together((0..60).map(async |number| f.settle(&format!("r{number}"), confirm(&[("a", 1)])).await)).await;
    let mut rows = BTreeMap::new();
    for verdict in verdicts {
        let row = verdict.rows[0].1.unwrap();
        assert_eq!(*rows.entry(row.version).or_insert(row), row, "one version has one content");
    }
    let on_hand: Vec<_> = rows.values().map(|row| row.on_hand).collect();
    assert!(on_hand.windows(2).all(|pair| pair[0] > pair[1]), "{on_hand:?}");
    assert_eq!(rows.into_values().last().unwrap(), f.row("a").await);
}

async fn equal_requests_at_once_count_once(f: &Fixture) {
    f.stock(&[("a", 1)]).await;
    let other = f.another().await;
    let change = [adjustment("a", 5)];
    let answers = together((0..20).map(async |number| {
        let ledger = if number % 2 == 0 { &f.ledger } else { &other };
        ledger.adjust_stock(&here(), &request("q"), "receipt", &change).await.unwrap()
    }));
    assert!(answers.await.iter().all(Result::is_ok));
    assert_eq!(f.on_hand("a").await, 6);
    other.close().await.unwrap();
}

async fn different_requests_under_one_id_count_once(f: &Fixture) {
    let names: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
    let answers = together(
        names.iter().map(async |name| f.ledger.set_stock(&here(), &request("q"), &[target(name, 1)]).await.unwrap()),
    );
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.await.into_iter().partition(Result::is_ok);
    assert_eq!(accepted.len(), 1);
    assert!(refused.into_iter().all(|answer| answer == Err(Refusal::RequestIdReused(request("q")))));
    assert_eq!(f.ledger.list_rows(&here(), None, 100).await.unwrap().len(), 1);
}

async fn racing_first_counts_keep_the_books(f: &Fixture) {
    let other = f.another().await;
    together((0..20).map(async |number| {
        let ledger = if number % 2 == 0 { &f.ledger } else { &other };
        let targets = [target("a", number), target("b", 100 - number)];
        ledger.set_stock(&here(), &request(&format!("q{number}")), &targets).await.unwrap().unwrap();
    }))
    .await;
    assert_eq!(f.on_hand("a").await + f.on_hand("b").await, 100);
    other.close().await.unwrap();
}
