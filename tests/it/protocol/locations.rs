//! Locations: one exists once a sku was created in it, and one that does not exist leaves nothing behind.

use super::*;

cases! {
    a_location_exists_once_a_sku_was_created_in_it
    locations_that_do_not_exist_leave_nothing_behind
}

async fn a_location_exists_once_a_sku_was_created_in_it(it: LocalService) {
    assert_eq!(it.cancel("1").await, Refused("unknown location"));
    // The location is seen at once, although it was unknown a moment ago.
    it.set("a", 10).await;
    assert_eq!(it.cancel("1").await, To(State::Cancelled));
    // The holds' store has lost everything, so the ledger is asked.
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
