//! A crowd whose holds all end at the same moment, more of them than one command reclaims. Whoever comes then must get
//! all of it.

use std::sync::Arc;

use futures::future::join_all;
use stockhold::service::Error;

use super::auditor::Request;
use super::network::Network;
use crate::support::holds::lines;

/// What they come for, and nobody else.
pub(crate) const SKU: &str = "crowd";

/// How much of it there is.
pub(crate) const UNITS: u32 = 450;
const TTL_MS: u64 = 30_000;

/// Each of the crowd takes one of as many units as there are; then somebody wants most of them.
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
    // Nobody has had the time to clean up.
    world.clock.jump(TTL_MS as i64);
    let (order, request) = open(UNITS - 50);
    // Whether that is right is judged where it is answered: nobody is told "short" while something is free.
    let answer: Result<_, Error> = network.until_definite(order, &request).await;
    world.event("after the crowd", &answer.map(|held| held.state));
}
