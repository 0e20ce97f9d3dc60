//! One intent after the other.

use stockhold::domain::Outcome::{Cancelled, Confirmed, Rejected};

use super::*;

cases! { in memory too:
    a_confirm_deducts_and_answers_the_row_after_it
    the_first_settlement_stands
    all_lines_are_deducted_or_none
    a_part_is_deducted_under_its_own_fingerprint
    nothing_is_sold_below_the_floor
    a_rejected_intent_answers_rows_even_of_unknown_skus
    many_lines_are_deducted_at_once
    names_are_compared_byte_for_byte
    locations_know_nothing_of_each_other
}

async fn a_confirm_deducts_and_answers_the_row_after_it(f: &Fixture) {
    f.stock(&[("a", 5), ("b", 7)]).await;
    let before = f.ledger.now_micros().await.unwrap() / 1000;
    let verdict = f.settle("r", confirm(&[("b", 3), ("a", 2)])).await;
    let settlement = verdict.settlement;
    assert_eq!((settlement.outcome, &settlement.lines), (Confirmed, &lines(&[("a", 2), ("b", 3)])));
    assert!(settlement.time_ms >= before.cast_unsigned());
    assert!(verdict.shortages.is_empty());
    assert_eq!(verdict.rows, [(sku("a"), Some(f.row("a").await)), (sku("b"), Some(f.row("b").await))]);
    assert_eq!((f.on_hand("a").await, f.on_hand("b").await), (3, 4));
    assert_eq!(f.ledger.settlements(&here(), &[id("unknown"), id("r")]).await.unwrap(), [settlement]);
}

async fn the_first_settlement_stands(f: &Fixture) {
    f.stock(&[("a", 100), ("b", 100)]).await;
    let intents = || {
        [
            (confirm(&[("a", 1)]), Confirmed),
            (confirm(&[("a", 999)]), Rejected),
            (Intent::Cancel, Cancelled),
            (reject(&[("a", 1)]), Rejected),
        ]
    };
    for (number, (first, outcome)) in intents().into_iter().enumerate() {
        let name = format!("r{number}");
        let standing = f.settle(&name, first).await;
        assert_eq!(standing.settlement.outcome, outcome);
        let before = f.row("a").await;
        for later in intents().into_iter().map(|(later, _)| later).chain([confirm(&[("a", 2)]), confirm(&[("b", 1)])]) {
            let verdict = f.settle(&name, later).await;
            assert_eq!(verdict.settlement, standing.settlement);
            assert!(verdict.shortages.is_empty());
            for line in standing.settlement.lines.iter() {
                assert!(verdict.rows.contains(&(line.sku.clone(), Some(before))), "{:?}", verdict.rows);
            }
        }
        assert_eq!(f.row("a").await, before);
    }
    assert_eq!((f.on_hand("a").await, f.on_hand("b").await), (99, 100));
    let lines = lines(&[("a", 1)]).fingerprint();
    let standing = f.ledger.settlements(&here(), &[id("r0")]).await.unwrap().remove(0);
    assert_eq!((standing.reserved, standing.confirmed), (Some(lines), Some(lines)));
}

async fn all_lines_are_deducted_or_none(f: &Fixture) {
    f.stock(&[("a", 5), ("b", 2)]).await;
    let verdict = f.settle("r", confirm(&[("a", 1), ("b", 3), ("c", 1)])).await;
    assert_eq!(verdict.settlement.outcome, Rejected);
    assert!(verdict.settlement.lines.is_empty());
    let short: Vec<_> = verdict.shortages.iter().map(|s| (s.sku.as_str(), s.requested, s.available, s.held)).collect();
    assert_eq!(short, [("b", 3, 2, 0), ("c", 1, 0, 0)]);
    assert_eq!(
        verdict.rows,
        [(sku("a"), Some(f.row("a").await)), (sku("b"), Some(f.row("b").await)), (sku("c"), None)]
    );
    assert_eq!((f.on_hand("a").await, f.on_hand("b").await), (5, 2));
}

async fn a_part_is_deducted_under_its_own_fingerprint(f: &Fixture) {
    f.stock(&[("a", 5), ("b", 5)]).await;
    let reserved = [("a", 3), ("b", 1)];
    let verdict = f.settle("r", confirm_part(&reserved, &[("a", 2)])).await;
    let (whole, part) = (lines(&reserved).fingerprint(), lines(&[("a", 2)]).fingerprint());
    assert_eq!((verdict.settlement.reserved, verdict.settlement.confirmed), (Some(whole), Some(part)));
    assert_eq!((f.on_hand("a").await, f.on_hand("b").await), (3, 5));
}

async fn nothing_is_sold_below_the_floor(f: &Fixture) {
    let floors = [("safety", 5, 3, 2), ("back-order", 0, -4, 4), ("below", 1, 5, 0)];
    let targets: Vec<_> = floors
        .iter()
        .map(|(name, on_hand, floor, _)| StockTarget { floor: *floor, ..target(name, *on_hand) })
        .collect();
    f.ledger.set_stock(&here(), &request("q"), &targets).await.unwrap().unwrap();
    for (name, on_hand, _, sellable) in floors {
        for unit in 0..sellable + 2 {
            let verdict = f.settle(&format!("{name}-{unit}"), confirm(&[(name, 1)])).await;
            assert_eq!(verdict.settlement.outcome == Confirmed, unit < sellable, "{name} {unit}");
        }
        assert_eq!(f.on_hand(name).await, on_hand - sellable);
    }
}

async fn a_rejected_intent_answers_rows_even_of_unknown_skus(f: &Fixture) {
    f.stock(&[("a", 5)]).await;
    let verdict = f.settle("r", reject(&[("a", 1), ("unknown", 1)])).await;
    assert_eq!(verdict.settlement.outcome, Rejected);
    assert_eq!(verdict.rows, [(sku("a"), Some(f.row("a").await)), (sku("unknown"), None)]);
    assert!(f.settle("s", Intent::Cancel).await.rows.is_empty());
}

async fn many_lines_are_deducted_at_once(f: &Fixture) {
    let names: Vec<String> = (0..100).map(|number| format!("s{number}")).collect();
    let stock: Vec<_> = names.iter().map(|name| (name.as_str(), 2)).collect();
    let wanted: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    f.stock(&stock).await;
    for (name, outcome) in [("r1", Confirmed), ("r2", Confirmed), ("r3", Rejected)] {
        let verdict = f.settle(name, confirm(&wanted)).await;
        assert_eq!((verdict.settlement.outcome, verdict.rows.len()), (outcome, 100));
    }
    assert_eq!(f.ledger.settlements(&here(), &[id("r1")]).await.unwrap()[0].lines, lines(&wanted));
}

async fn names_are_compared_byte_for_byte(f: &Fixture) {
    let names = [
        "order",
        "Order",
        "ORDER",
        "órder",
        "o\u{301}rder",
        "or der",
        "or  der",
        "straße",
        "strasse",
        "ß",
        "😀",
        "order\\",
        "o'r",
    ];
    let stock: Vec<_> = names.iter().enumerate().map(|(number, name)| (*name, 100 + number as i64)).collect();
    f.stock(&stock).await;
    for (number, name) in names.iter().enumerate() {
        let verdict = f.settle(name, confirm(&[(name, 1)])).await;
        assert_eq!(verdict.settlement.outcome, Confirmed, "{name:?}");
        assert_eq!(f.on_hand(name).await, 99 + number as i64, "{name:?}");
    }
    let ids = names.map(id);
    assert_eq!(f.ledger.settlements(&here(), &ids).await.unwrap().len(), names.len());
    let mut listed: Vec<_> =
        f.ledger.list_rows(&here(), None, 100).await.unwrap().into_iter().map(|(sku, _)| sku.to_string()).collect();
    let in_order = listed.clone();
    listed.sort_unstable();
    assert_eq!(in_order, listed);
}

async fn locations_know_nothing_of_each_other(f: &Fixture) {
    f.stock(&[("a", 5)]).await;
    for name in ["Here", "there"] {
        let there = Location::parse(name).unwrap();
        let permit = f.ledger.queue_permit(&there).unwrap();
        let verdict = permit.settle(there.clone(), id("r"), confirm(&[("a", 1)])).await.unwrap();
        assert_eq!(verdict.settlement.outcome, Rejected);
        assert_eq!(f.ledger.rows(&there, &[sku("a")]).await.unwrap(), [(sku("a"), None)]);
    }
    assert_eq!(f.settle("r", confirm(&[("a", 1)])).await.settlement.outcome, Confirmed);
}
