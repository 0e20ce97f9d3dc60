//! What becomes of an order: reserved, confirmed whole or in part, cancelled, late, listed.

use super::*;

cases! {
    an_order_is_reserved_and_confirmed
    an_order_is_cancelled_for_good
    a_cancel_that_overtakes_its_reserve_wins
    a_part_is_confirmed_and_the_rest_is_free
    late_confirms_follow_their_policy
    the_customer_who_comes_back_takes_the_stock_again
    unknown_skus_and_ids_are_named
    supply_that_was_lowered_below_a_hold_rejects_its_confirm
    racing_confirms_and_cancels_agree_on_one_end
    lists_show_live_holds_page_by_page
    the_ledger_has_what_was_confirmed_and_nothing_else
}

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
    // The stock is gone, and that is final. No duplicate may deduct later what the caller was told is gone.
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
    assert_eq!(it.extend("unknown", 2 * TTL_MS, Reject).await, Refused("not found"));
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

async fn lists_show_live_holds_page_by_page(it: LocalService) {
    it.set("a", 100).await;
    it.set("b", 100).await;
    for i in 0..10_u64 {
        it.clock.at(i);
        it.reserve(&format!("order-{i}"), &[(if i % 2 == 0 { "a" } else { "b" }, 1)]).await;
    }
    it.confirm("order-2").await;
    it.at_holds(begin("order-4")).await;
    // The deadline of the first three has passed, and they are not reclaimed yet.
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
    // The confirm settles the cancel first, which takes the only place in the queue.
    assert_eq!(came(service.confirm(&location("l"), id("1"), None, Reject).await), Refused("cancelled"));
    it.ends_in_order().await;
}
