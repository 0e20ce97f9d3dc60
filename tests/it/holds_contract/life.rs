//! A reservation's life: held, extended, confirmed, cancelled, expired, taken again.

use super::*;

cases! {
    a_reservation_goes_from_held_to_confirmed
    cancelled_is_final
    a_hold_ends_at_its_deadline_to_the_millisecond
    extending_never_shortens_and_is_capped
    an_expired_reservation_can_take_its_stock_again
    confirming_a_part_releases_the_rest_at_once
    settling_refuses_to_drop_a_hold_without_its_rows
    the_final_word_overrides_what_the_store_believes
    the_final_word_on_what_the_store_does_not_know_is_not_kept
}

async fn a_reservation_goes_from_held_to_confirmed(holds: TestHolds) {
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
        // The deadline has passed long ago. A confirm that has begun outlives it.
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
        ("held", vec![reserve("held", &[("a", 3)])]),
        ("confirming", vec![reserve("confirming", &[("a", 3)]), begin("confirming")]),
        ("cancelled", vec![reserve("cancelled", &[("a", 3)]), cancel("cancelled")]),
        ("never held", vec![cancel("never held")]),
        ("settled", vec![cancel("settled"), settle("settled", Cancelled, &[], &[])]),
    ];
    for (name, before) in befores {
        for word in [Confirmed, Rejected, Cancelled, Confirmed] {
            holds.try_all(before.clone()).await.expect("answers");
            let reservation = accepted(holds.apply(settle(name, word, &[("a", 2)], &[("a", 98)])).await);
            assert_eq!(reservation.state, word.into(), "{name}");
            assert_eq!(holds.state(name).await, Some(word.into()), "{name}");
            assert_eq!(holds.held_available("a").await.0, 0, "{name}");
        }
        let reservation = accepted(holds.apply(Command::Get { id: id(name) }).await);
        assert_eq!(reservation.lines, lines(&[("a", 2)]), "{name}: what was confirmed");
    }
}

/// Otherwise callers who read old reservations would fill the store.
async fn the_final_word_on_what_the_store_does_not_know_is_not_kept(holds: TestHolds) {
    holds.stock(&[("a", 9), ("b", 9), ("c", 9)]).await;
    for (word, sku) in [(Confirmed, "a"), (Rejected, "b"), (Cancelled, "c")] {
        assert_eq!(outcome(&holds.apply(settle("1", word, &[(sku, 2)], &[(sku, 7)])).await), NOT_FOUND);
        assert_eq!(holds.state("1").await, None, "{word:?}");
        assert_eq!(holds.held_available(sku).await, (0, 7), "{word:?}: its rows are pushed");
    }
}
