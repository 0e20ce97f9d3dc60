//! An emptied holds' store is filled from the ledger by few statements, however many callers find it empty.

use std::time::Duration;

use futures::future::join_all;
use stockhold::domain::Refusal;
use stockhold::holds::embedded::Snapshot;
use stockhold::service::Error;
use tokio::time::Instant;

use crate::support::holds::{id, location, sku};
use crate::support::memory_service::MemoryService;

const CALLERS: usize = 4000;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("sku-{number}")).collect()
}

/// An emptied store under stock of so many skus.
async fn emptied(skus: usize) -> MemoryService {
    let it = MemoryService::new();
    it.set(&location("l"), &names(skus), CALLERS as i64).await;
    it.restore(Snapshot::default());
    it
}

#[tokio::test(start_paused = true)]
async fn callers_who_find_registers_missing_share_statements() {
    // Callers who ask while a fill is under way share the next one.
    for (skus, statements_max) in [(1, 2), (CALLERS, 2 + CALLERS / 400)] {
        let it = emptied(skus).await;
        let before = it.weather.statements();
        let answers =
            join_all(
                (0..CALLERS).map(|order| {
                    let it = &it;
                    async move {
                        it.reserve(&location("l"), &format!("order-{order}"), &format!("sku-{}", order % skus)).await
                    }
                }),
            )
            .await;
        let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert!(refused.is_empty(), "{skus} skus: {} refused, the first: {:?}", refused.len(), refused[0]);
        let statements = it.weather.statements() - before;
        assert!((1..=statements_max).contains(&statements), "{skus} skus: {statements} statements");
    }
}

#[tokio::test(start_paused = true)]
async fn every_caller_of_a_shared_fill_hears_of_their_own_unknown_skus() {
    let it = emptied(1).await;
    let before = it.weather.statements();
    let answers = join_all((0..100).map(|order| {
        let it = &it;
        let of = if order % 2 == 0 { "sku-0".to_owned() } else { format!("unknown-{order}") };
        async move { (it.reserve(&location("l"), &format!("order-{order}"), &of).await, of) }
    }))
    .await;
    for (answer, of) in answers {
        match answer {
            Ok(_) => assert_eq!(of, "sku-0"),
            Err(Error::Refused(Refusal::UnknownSkus(unknown))) => assert_eq!(unknown, [sku(&of)]),
            Err(error) => panic!("{of}: {error:?}"),
        }
    }
    let statements = it.weather.statements() - before;
    assert!(statements <= 2, "{statements} statements");
    // Unknown skus are remembered for a while.
    it.reserve(&location("l"), "late", "unknown-1").await.expect_err("refused");
    assert_eq!(it.weather.statements() - before, statements);
}

#[tokio::test(start_paused = true)]
async fn callers_behind_a_fill_that_failed_fail_with_it() {
    let it = emptied(CALLERS).await;
    it.weather.set_away(true);
    let (before, begun) = (it.weather.statements(), Instant::now());
    let answers = join_all((0..CALLERS).map(|order| {
        let it = &it;
        async move { it.reserve(&location("l"), &format!("order-{order}"), &format!("sku-{order}")).await }
    }))
    .await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::Unavailable(_)))), "nothing was done");
    assert!(it.weather.statements() - before <= 2, "the database is not asked for each");
    assert!(begun.elapsed() < Duration::from_secs(10), "no caller waits through the timeouts of others");

    it.weather.set_away(false);
    it.reserve(&location("l"), "order", "sku-0").await.expect("the next fill works");
}

#[tokio::test(start_paused = true)]
async fn callers_who_invent_locations_cost_a_bounded_number_of_lookups_at_a_time() {
    const LOOKUPS_MAX: usize = 64;
    let it = MemoryService::new();
    let answers = join_all((0..1000).map(|number| {
        let service = &it.service;
        async move { service.cancel(&location(&format!("invented-{number}")), id("order")).await }
    }))
    .await;
    let unknown = answers.iter().filter(|answer| matches!(answer, Err(Error::Refused(Refusal::UnknownLocation(_)))));
    let overloaded = answers.iter().filter(|answer| matches!(answer, Err(Error::Overloaded)));
    assert_eq!((unknown.count(), overloaded.count()), (LOOKUPS_MAX, 1000 - LOOKUPS_MAX));
    assert_eq!(it.weather.statements(), LOOKUPS_MAX);
}
