//! Supply: what there is at first, and how it changes meanwhile. Every change is repeated until it is known to be made, so that what there is in the end is known too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stockhold::domain::{Adjustment, Outcome, RequestId, Sku, StockTarget};
use stockhold::service::{Error, Service};
use tokio::time::sleep;

use super::crowd;
use super::network::Network;
use super::world::World;
use crate::support::holds::sku;

/// What the changes of supply that were made come to.
pub(crate) struct Supply {
    made: BTreeMap<Sku, i64>,
    /// Skus that were counted anew: what that moved depends on what was sold by then.
    counted: BTreeSet<Sku>,
    changes: usize,
}

impl Supply {
    /// Counts all skus for the first time.
    pub(crate) async fn first(network: &Arc<Network>) -> Self {
        let world = &network.world;
        let each = if world.profile.is_scarce { 15 } else { 1000 };
        let mut supply = Self { made: BTreeMap::new(), counted: BTreeSet::new(), changes: 0 };
        let target = |sku: &Sku| StockTarget {
            sku: sku.clone(),
            on_hand: each,
            floor: 0,
            retired: false,
            expected_version: None,
        };
        let of_the_crowd = StockTarget { on_hand: crowd::UNITS.into(), ..target(&sku(crowd::SKU)) };
        supply.set(network, world.skus.iter().map(target).chain([of_the_crowd]).collect()).await;
        supply.made = world.skus.iter().map(|sku| (sku.clone(), each)).collect();
        supply
    }

    /// Goods arrive, some are lost, floors rise, a sku is retired: until the chaos is over.
    pub(crate) async fn change(&mut self, network: &Arc<Network>) {
        let world = &network.world;
        for _ in 0..world.profile.chaos.as_secs() / 6 {
            sleep(world.ms(0..=12_000)).await;
            let sku = world.skus[world.draw(|rng| rng.usize(0..world.skus.len()))].clone();
            if !world.profile.supply_falls || world.one_in(2) {
                self.adjust(network, sku, world.draw(|rng| rng.i64(1..=5))).await;
                continue;
            }
            world.audit(|auditor| auditor.supply_fell = true);
            if world.one_in(2) {
                self.adjust(network, sku, -world.draw(|rng| rng.i64(1..=5))).await;
                continue;
            }
            let (on_hand, floor, retired) = world.draw(|rng| (rng.i64(0..=20), rng.i64(-3..=10), rng.u32(0..4) == 0));
            let target = StockTarget { sku: sku.clone(), on_hand, floor, retired, expected_version: None };
            self.set(network, vec![target]).await;
            self.counted.insert(sku);
        }
    }

    async fn adjust(&mut self, network: &Arc<Network>, sku: Sku, delta: i64) {
        *self.made.entry(sku.clone()).or_default() += delta;
        let request_id = self.next_id();
        let location = network.world.location.clone();
        until_made(network, async |service| {
            let adjustments = vec![Adjustment { sku: sku.clone(), delta }];
            service.adjust_stock(&location, request_id.clone(), "simulated".into(), adjustments).await.map(drop)
        })
        .await;
    }

    async fn set(&mut self, network: &Arc<Network>, targets: Vec<StockTarget>) {
        let request_id = self.next_id();
        let location = network.world.location.clone();
        until_made(network, async |service| {
            service.set_stock(&location, request_id.clone(), targets.clone()).await.map(drop)
        })
        .await;
    }

    fn next_id(&mut self) -> RequestId {
        self.changes += 1;
        RequestId::parse(&format!("change-{}", self.changes)).expect("an id")
    }

    /// What the ledger has must be what was supplied less what was sold. Skus that were counted anew are left to the books.
    pub(crate) fn audit(&self, world: &World) {
        for (sku, supplied) in self.made.iter().filter(|(sku, _)| !self.counted.contains(sku)) {
            let (on_hand, sold) = world.server.look(|tables| {
                let confirmed = tables.settlements.values().filter(|settled| settled.outcome == Outcome::Confirmed);
                let sold: i64 = confirmed.map(|settled| i64::from(settled.lines.quantity(sku))).sum();
                (tables.stock.get(&(world.location.clone(), sku.clone())).map(|row| row.on_hand), sold)
            });
            if on_hand != Some(supplied - sold) {
                world.violated(format!(
                    "conservation: {supplied} of {sku} were supplied, {sold} sold, {on_hand:?} are there"
                ));
            }
        }
    }
}

async fn until_made(network: &Arc<Network>, change: impl AsyncFn(&Service) -> Result<(), Error>) {
    loop {
        let instance = network.any();
        if instance.is_alive() {
            let made = tokio::select! {
                biased;
                () = instance.death() => None,
                made = change(&instance.service) => Some(made),
            };
            match made {
                Some(Ok(())) => {
                    network.world.event("supply changed", &());
                    // A repeat must change nothing: the audit at the end sees it.
                    if !network.world.one_in(5) {
                        return;
                    }
                }
                Some(Err(error @ (Error::Refused(_) | Error::Internal(_)))) => {
                    network.world.violated(format!("a change of supply was answered {error:?}"));
                    return;
                }
                Some(Err(_)) | None => {}
            }
        }
        sleep(network.world.ms(10..=1000)).await;
    }
}
