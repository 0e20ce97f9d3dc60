//! The auditor lets pass what was true at some instant between a question and its answer, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use stockhold::domain::{Location, Reservation, StockItem};
use tokio::time::sleep;

use super::Asked;
use crate::simulation::network::Network;
use crate::simulation::supply::Supply;
use crate::simulation::world::World;
use crate::support::holds::{id, lines};

/// Much longer than a call takes where nothing fails.
const A_WHILE: Duration = Duration::from_secs(5);

/// A quiet world with two holds. `first` lapses one [`A_WHILE`] before `last`.
struct Quiet {
    world: Arc<World>,
    network: Arc<Network>,
    first: Reservation,
    last: Reservation,
}

impl Quiet {
    async fn begin() -> Self {
        let world = World::calm();
        let network = Network::new(&world);
        Supply::first(&network).await;
        let hold = async |name: &str, sku: &str, ttl: Duration| {
            let held = network.any().service.reserve(&world.locations[0], id(name), lines(&[(sku, 2)]), ttl).await;
            held.expect("there is enough")
        };
        let first = hold("first", "a", A_WHILE * 3).await;
        let last = hold("last", "b", A_WHILE * 5).await;
        Self { world, network, first, last }
    }

    fn location(&self) -> &Location {
        &self.world.locations[0]
    }

    fn ask(&self) -> Asked<'_> {
        Asked::now(&self.world, self.location())
    }

    async fn stock(&self) -> Vec<StockItem> {
        self.network.any().service.get_stock(self.location(), self.world.skus.clone()).await.expect("all is well")
    }

    async fn list(&self) -> Vec<Reservation> {
        self.network.any().service.list_reservations(self.location(), None, 7, None).await.expect("all is well").0
    }

    async fn lapses(&self, hold: &Reservation) {
        let left_ms = hold.expire_ms.expect("it is held").saturating_sub(self.world.clock.now_ms());
        assert!(left_ms > 0, "it lapsed before it was to");
        sleep(Duration::from_millis(left_ms)).await;
    }
}

fn held(told: &[StockItem]) -> Vec<i64> {
    told.iter().map(|item| item.held).collect()
}

/// What a seed in some thousands met: the hold that was seen with the question was gone when the answer was read.
#[tokio::test(start_paused = true)]
async fn a_hold_may_lapse_before_stock_is_read() {
    let quiet = Quiet::begin().await;
    let asked = quiet.ask();
    quiet.lapses(&quiet.first).await;
    let told = quiet.stock().await;
    assert_eq!(held(&told), [0, 2, 0, 0]);
    assert_eq!(asked.told_stock(&quiet.world.skus, &told), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_hold_may_lapse_after_stock_is_read() {
    let quiet = Quiet::begin().await;
    let asked = quiet.ask();
    let told = quiet.stock().await;
    assert_eq!(held(&told), [2, 2, 0, 0]);
    quiet.lapses(&quiet.last).await;
    assert_eq!(asked.told_stock(&quiet.world.skus, &told), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn stock_that_was_never_so_is_told_apart() {
    let quiet = Quiet::begin().await;
    let asked = quiet.ask();
    let told = quiet.stock().await;
    quiet.lapses(&quiet.last).await;
    type Change<'a> = &'a dyn Fn(&mut Vec<StockItem>);
    let wrong: [(&str, Change<'_>); 8] = [
        ("one more is held", &|told| told[0].held += 1),
        ("one less is held", &|told| told[0].held -= 1),
        ("one more is available", &|told| told[1].row.on_hand += 1),
        ("one less is available", &|told| told[2].row.floor += 1),
        ("a newer version", &|told| told[3].row.version += 1),
        ("a retired sku", &|told| told[3].row.retired = true),
        ("a sku is left out", &|told| drop(told.pop())),
        ("the last hold lapsed before the first", &|told| told[1].held = 0),
    ];
    for (name, change) in wrong {
        let mut told = told.clone();
        change(&mut told);
        assert!(asked.told_stock(&quiet.world.skus, &told).is_err(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_lapsed_before_the_question_counts_for_nothing() {
    let quiet = Quiet::begin().await;
    let before = quiet.stock().await;
    quiet.lapses(&quiet.first).await;
    assert!(quiet.ask().told_stock(&quiet.world.skus, &before).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_hold_may_lapse_while_holds_are_listed() {
    let quiet = Quiet::begin().await;
    let asked = quiet.ask();
    let (first, last) = (quiet.first.clone(), quiet.last.clone());
    assert_eq!(quiet.list().await, [first.clone(), last.clone()]);
    quiet.lapses(&quiet.first).await;
    assert_eq!(quiet.list().await, std::slice::from_ref(&last));
    for told in [vec![last.clone()], vec![first, last]] {
        assert_eq!(asked.told_page(&told), Ok(()));
        assert_eq!(asked.told_list(&told), Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_was_never_so_is_told_apart() {
    let quiet = Quiet::begin().await;
    let asked_before = quiet.ask();
    quiet.lapses(&quiet.first).await;
    let asked = quiet.ask();
    let mut other = quiet.last.clone();
    other.lines = lines(&[("b", 3)]);
    assert!(asked.told_page(std::slice::from_ref(&quiet.first)).is_err(), "it lapsed before");
    assert!(asked.told_page(&[other]).is_err(), "other lines");
    assert!(asked_before.told_list(std::slice::from_ref(&quiet.first)).is_err(), "the last is live all the time");
}
