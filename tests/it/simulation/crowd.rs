//! A crowd whose holds all expire at the same moment. They are more than one command reclaims, and the next order must
//! get all of their units.

use std::sync::Arc;

use futures::future::join_all;
use stockhold::service::Error;

use super::auditor::Request;
use super::network::Network;
use crate::support::holds::lines;

/// Only the crowd reserves this sku.
pub(crate) const SKU: &str = "crowd";

/// How much of it there is.
pub(crate) const UNITS: u32 = 450;
const TTL_MS: u64 = 30_000;

/// The crowd holds all units, one each. Once they expire, one order wants most of them.
pub(crate) async fn come_and_go(network: &Arc<Network>) {
    let world = &network.world;
    let open = |units| {
        let lines = lines(&[(SKU, units)]);
        (
            world.audit(|auditor| auditor.open(&world.locations[0], lines.clone(), None, TTL_MS)),
            Request::Reserve { lines, ttl_ms: TTL_MS },
        )
    };
    let crowd: Vec<_> = (0..UNITS).map(|_| open(1)).collect();
    join_all(crowd.iter().map(|(order, request)| network.call(*order, request))).await;
    // No sweep runs in between.
    world.clock.jump(TTL_MS as i64);
    let (order, request) = open(UNITS - 50);
    // The invariants judge the answer: `Short` is wrong while units are free.
    let answer: Result<_, Error> = network.until_definite(order, &request).await;
    world.event("after the crowd", &answer.map(|held| held.state));
}
