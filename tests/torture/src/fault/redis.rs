//! Faults of Redis.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stockhold_servers::patience::within;
use stockhold_servers::proxy::Proxy;
use stockhold_servers::redis::{Fsync, Redis};

use crate::act::Act;
use crate::world::World;

/// A replica copies its primary, and notices that a link is lost or back, within this time.
const REPLICATE_MAX: Duration = Duration::from_secs(20);

/// The number of replicas so far. Each has its own folder.
static REPLICAS: AtomicU64 = AtomicU64::new(0);

pub(super) async fn killed(world: &mut World, act: &Act) {
    world.redis.kill();
    act.pass().await;
    world.redis.restart().await;
}

pub(super) async fn killed_emptied(world: &mut World, act: &Act) -> Result<(), String> {
    let witness = act.witness(&world.redis).await?;
    world.redis.kill();
    act.pass().await;
    world.redis.restart_empty().await;
    act.has_forgotten(&world.redis, &witness).await
}

pub(super) async fn flushed(world: &mut World, act: &Act) -> Result<(), String> {
    let witness = act.witness(&world.redis).await?;
    world.redis.command(&["FLUSHALL"]).await;
    let forgotten = act.has_forgotten(&world.redis, &witness).await;
    act.pass().await;
    forgotten
}

pub(super) async fn hangs(world: &mut World, act: &Act) {
    world.redis.signal("STOP");
    act.pass().await;
    world.redis.signal("CONT");
}

/// The snapshot is as old as the fault lasts.
pub(super) async fn rewound(world: &mut World, act: &Act) -> Result<(), String> {
    let snapshot = world.redis.snapshot().await;
    let witness = act.witness(&world.redis).await?;
    act.pass().await;
    world.redis.kill();
    world.redis.restart_from(&snapshot).await;
    act.has_forgotten(&world.redis, &witness).await
}

/// The replica lags by as long as the fault lasts.
pub(super) async fn failed_over(world: &mut World, act: &Act) -> Result<(), String> {
    let mut link = Proxy::to(&world.redis.server()).await;
    let name = format!("redis-replica-{}", REPLICAS.fetch_add(1, Ordering::Relaxed) + 1);
    let replica = Redis::start(&world.home, &name, Fsync::Always).await?;
    replica.command(&["REPLICAOF", "127.0.0.1", &link.port().to_string()]).await;
    let follows = within(REPLICATE_MAX, async || {
        let role = replica.command(&["ROLE"]).await;
        role.iter().any(|line| line == "connected")
    });
    if follows.await.is_none() {
        return Err(format!("the replica did not follow within {REPLICATE_MAX:?}"));
    }
    link.cut().await;
    let witness = act.witness(&world.redis).await?;
    act.pass().await;
    world.redis.kill();
    replica.command(&["REPLICAOF", "NO", "ONE"]).await;
    world.redis = replica;
    let server = world.redis.server();
    for instance in &mut world.instances {
        instance.redis.redirect_to(&server).await;
    }
    act.has_forgotten(&world.redis, &witness).await
}
