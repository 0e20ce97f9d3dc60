//! Supply: what there is at first, and how it changes. A change is repeated until it is known to be made, or until its
//! supplier gives up. In that case only the sync task can tell the holds' store.

use std::collections::BTreeSet;
use std::sync::Arc;

use stockhold::domain::{Adjustment, Location, RequestId, Sku, StockTarget};
use stockhold::service::{Error, Service};
use tokio::time::sleep;

use super::crowd;
use super::network::Network;
use super::world::World;
use crate::support::holds::sku;

/// All changes of supply.
pub(crate) struct Supply {
    changes: Vec<Change>,
    /// Skus whose `on_hand` was set. What a count moves depends on what was sold before.
    counted: BTreeSet<(Location, Sku)>,
    /// How much of each sku there was at first.
    at_first: i64,
    last_id: usize,
}

struct Change {
    location: Location,
    request_id: RequestId,
    sku: Sku,
    delta: i64,
    /// False if the supplier gave up; then only the ledger knows whether it was made.
    is_made: bool,
}

impl Supply {
    /// Counts all skus for the first time.
    pub(crate) async fn first(network: &Arc<Network>) -> Self {
        let world = &network.world;
        let at_first = if world.profile.is_scarce { 15 } else { 1000 };
        let target = |sku: &Sku| StockTarget {
            sku: sku.clone(),
            on_hand: at_first,
            floor: 0,
            retired: false,
            expected_version: None,
        };
        let of_the_crowd = StockTarget { on_hand: crowd::UNITS.into(), ..target(&sku(crowd::SKU)) };
        let targets: Vec<_> = world.skus.iter().map(target).chain([of_the_crowd]).collect();
        for location in &world.locations {
            let request_id = RequestId::parse("first").expect("an id");
            let set = || network.until_made(false, async |service| set(service, location, &request_id, &targets).await);
            assert!(set().await, "nobody gives up at first");
        }
        Self { changes: Vec::new(), counted: BTreeSet::new(), at_first, last_id: 0 }
    }

    /// Until the chaos is over, goods arrive and are lost, floors rise, and skus are retired.
    pub(crate) async fn change(&mut self, network: &Arc<Network>) {
        let world = &network.world;
        for _ in 0..world.profile.chaos.as_secs() / 5 {
            sleep(world.ms(0..=10_000)).await;
            let (location, sku) = (world.any_location().clone(), world.any_sku().clone());
            if !world.profile.supply_falls || world.one_in(2) {
                self.adjust(network, location, sku, world.draw(|rng| rng.i64(1..=5))).await;
                continue;
            }
            world.audit(|auditor| auditor.fell.insert((location.clone(), sku.clone())));
            if world.one_in(2) {
                self.adjust(network, location, sku, -world.draw(|rng| rng.i64(1..=5))).await;
                continue;
            }
            let (on_hand, floor, retired) = world.draw(|rng| (rng.i64(0..=20), rng.i64(-3..=10), rng.u32(0..4) == 0));
            self.counted.insert((location.clone(), sku.clone()));
            let targets = [StockTarget { sku, on_hand, floor, retired, expected_version: None }];
            let request_id = self.next_id();
            network.until_made(true, async |service| set(service, &location, &request_id, &targets).await).await;
        }
    }

    async fn adjust(&mut self, network: &Arc<Network>, location: Location, sku: Sku, delta: i64) {
        let request_id = self.next_id();
        let adjust = async |service: &Service| {
            let adjustments = vec![Adjustment { sku: sku.clone(), delta }];
            service.adjust_stock(&location, request_id.clone(), "simulated".into(), adjustments).await.map(drop)
        };
        let is_made = network.until_made(true, adjust).await;
        self.changes.push(Change { location, request_id, sku, delta, is_made });
    }

    fn next_id(&mut self) -> RequestId {
        self.last_id += 1;
        RequestId::parse(&format!("change-{}", self.last_id)).expect("an id")
    }

    /// The ledger must have what was supplied less what was sold. For skus that were counted, the balance of the books
    /// is checked instead.
    pub(crate) fn audit(&self, world: &World) {
        let all = world.locations.iter().flat_map(|location| world.skus.iter().map(move |sku| (location, sku)));
        for (location, sku) in all {
            if self.counted.contains(&(location.clone(), sku.clone())) {
                continue;
            }
            let (on_hand, expected) = world.server.look(|tables| {
                let is_made = |change: &&Change| {
                    let key = (location.clone(), change.request_id.clone(), 0);
                    change.is_made || tables.movements.contains_key(&key)
                };
                let of_sku = self.changes.iter().filter(|change| change.location == *location && change.sku == *sku);
                let supplied = self.at_first + of_sku.filter(is_made).map(|change| change.delta).sum::<i64>();
                let row = tables.stock.get(&(location.clone(), sku.clone()));
                (row.map(|row| row.on_hand), supplied - tables.deducted(location, sku))
            });
            if on_hand != Some(expected) {
                world.violated(format!(
                    "conservation: of {sku} in {location:?} there should be {expected}, {on_hand:?} are there"
                ));
            }
        }
    }
}

async fn set(
    service: &Service,
    location: &Location,
    request_id: &RequestId,
    targets: &[StockTarget],
) -> Result<(), Error> {
    service.set_stock(location, request_id.clone(), targets.to_vec()).await.map(drop)
}

impl Network {
    /// Repeats a change of supply until it is made. Answers false if the supplier gives up before.
    async fn until_made(&self, may_give_up: bool, change: impl AsyncFn(&Service) -> Result<(), Error>) -> bool {
        let mut is_made = false;
        loop {
            let instance = self.any();
            if instance.is_alive() {
                let made = tokio::select! {
                    biased;
                    () = instance.death() => None,
                    made = change(&instance.service) => Some(made),
                };
                match made {
                    Some(Ok(())) => {
                        self.world.event("supply changed", &());
                        is_made = true;
                        // A repeat must change nothing; the audit would see it.
                        if !self.world.one_in(5) {
                            return true;
                        }
                    }
                    Some(Err(error @ (Error::Refused(_) | Error::Internal(_)))) => {
                        self.world.violated(format!("a change of supply was answered {error:?}"));
                        return is_made;
                    }
                    Some(Err(_)) | None => {}
                }
            }
            if may_give_up && self.world.one_in(4) {
                self.world.event("supplier gave up", &());
                return is_made;
            }
            sleep(self.world.ms(10..=1000)).await;
        }
    }
}
