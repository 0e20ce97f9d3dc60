//! The faults: what each does to the servers, what must still work meanwhile, and how soon the service must heal.

mod crash;
mod link;
mod mysql;
mod redis;

use std::ops::Range;
use std::time::Duration;

use crate::act::{Act, Promise};
use crate::world::World;

pub(crate) use crash::Crash;
pub(crate) use link::{Harm, Link, Store};

/// What is done to the servers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// No fault. This run shows that what other runs find comes from their faults.
    Nothing,
    /// An instance is killed and restarted.
    InstanceKilled,
    /// An instance crashes again and again at one step of the protocol.
    InstanceCrashes(Crash),
    RedisKilled,
    /// Redis is killed. It has no persistence, so it comes back empty.
    RedisKilledEmptied,
    RedisFlushed,
    /// An older snapshot is restored.
    RedisRewound,
    /// A replica that had lost its link to the primary takes over.
    RedisFailedOver,
    RedisHangs,
    MysqlKilled,
    MysqlHangs,
    MysqlReadOnly,
    /// Some COMMITs lose their connection before or after the server has seen them.
    CommitsCut,
    BothKilled,
    Links(Link),
}

impl Fault {
    /// All faults.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![
            Self::Nothing,
            Self::InstanceKilled,
            Self::RedisKilled,
            Self::RedisKilledEmptied,
            Self::RedisFlushed,
            Self::RedisRewound,
            Self::RedisFailedOver,
            Self::RedisHangs,
            Self::MysqlKilled,
            Self::MysqlHangs,
            Self::MysqlReadOnly,
            Self::CommitsCut,
            Self::BothKilled,
        ];
        all.extend(Crash::ALL.map(Self::InstanceCrashes));
        all.extend(Link::ALL.map(Self::Links));
        all
    }

    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::InstanceKilled => "instance killed",
            Self::InstanceCrashes(crash) => crash.name(),
            Self::RedisKilled => "Redis killed, append-only file",
            Self::RedisKilledEmptied => "Redis killed, no persistence",
            Self::RedisFlushed => "Redis FLUSHALL",
            Self::RedisRewound => "Redis: old snapshot restored",
            Self::RedisFailedOver => "Redis: lagging replica promoted",
            Self::RedisHangs => "Redis hangs",
            Self::MysqlKilled => "MySQL killed",
            Self::MysqlHangs => "MySQL hangs",
            Self::MysqlReadOnly => "MySQL read-only",
            Self::CommitsCut => "MySQL link cut at COMMIT",
            Self::BothKilled => "Redis and MySQL killed",
            Self::Links(link) => link.name(),
        }
    }

    /// Whether Redis loses data. Then callers may see what `docs/promises.md` says of an empty or rewound Redis.
    pub(crate) fn redis_forgets(self) -> bool {
        matches!(self, Self::RedisKilledEmptied | Self::RedisFlushed | Self::RedisRewound | Self::RedisFailedOver)
    }

    /// How long it lasts: longer than the timers of the service that it concerns.
    pub(crate) fn lasting_ms(self) -> Range<u64> {
        match self {
            Self::MysqlHangs => 6_000..8_000,
            Self::Links(link) if link.store == Store::Mysql && link.harm != Harm::Slow => 6_000..8_000,
            Self::RedisHangs => 3_000..4_000,
            Self::Links(link) if link.harm == Harm::Silence => 3_000..4_000,
            _ => 1_000..2_500,
        }
    }

    /// How soon after its end each instance must reserve and confirm again.
    pub(crate) fn heal_max(self) -> Duration {
        Duration::from_secs(match self {
            // Only waiting tells a silent connection from a slow one. MySQL keeps its locks until its `wait_timeout` of
            // 10 s.
            Self::Links(link) if link.harm == Harm::Silence => 30,
            _ => 10,
        })
    }

    /// What each instance must do while the fault acts, if it strikes this one.
    pub(crate) fn promises(self, victim: usize) -> [Promise; 2] {
        let everything = Promise::EVERYTHING;
        let (struck, other) = match self {
            Self::Nothing | Self::CommitsCut => (everything, everything),
            Self::InstanceKilled => (Promise::Dead, everything),
            // The instance is up most of the time.
            Self::InstanceCrashes(_) => (Promise::Nothing, everything),
            Self::RedisKilled | Self::RedisKilledEmptied | Self::RedisHangs | Self::BothKilled => {
                (Promise::Unavailable, Promise::Unavailable)
            }
            Self::RedisFlushed => (Promise::Refills, Promise::Refills),
            // These strike at their end. Until then there is only a snapshot, or a replica.
            Self::RedisRewound | Self::RedisFailedOver => (Promise::Nothing, Promise::Nothing),
            Self::MysqlKilled | Self::MysqlHangs | Self::MysqlReadOnly => (Promise::Holds, Promise::Holds),
            Self::Links(link) => (link.promise(), if link.both { link.promise() } else { link.promise_elsewhere() }),
        };
        [0, 1].map(|instance| if instance == victim { struck } else { other })
    }

    /// Causes the fault, lets it act, and undoes it. When this returns, the servers are as before, and the service has
    /// to heal. The error says that the fault did no harm.
    pub(crate) async fn strike(self, world: &mut World, victim: usize, act: &Act) -> Result<(), String> {
        match self {
            Self::Nothing => act.pass().await,
            Self::InstanceKilled => {
                world.instances[victim].kill();
                act.pass().await;
                world.instances[victim].restart().await;
            }
            Self::InstanceCrashes(crash) => return crash.strike(&mut world.instances[victim], act).await,
            Self::RedisKilled => redis::killed(world, act).await,
            Self::RedisKilledEmptied => return redis::killed_emptied(world, act).await,
            Self::RedisFlushed => return redis::flushed(world, act).await,
            Self::RedisRewound => return redis::rewound(world, act).await,
            Self::RedisFailedOver => return redis::failed_over(world, act).await,
            Self::RedisHangs => redis::hangs(world, act).await,
            Self::MysqlKilled => mysql::killed(world, act).await,
            Self::MysqlHangs => mysql::hangs(world, act).await,
            Self::MysqlReadOnly => mysql::read_only(world, act).await,
            Self::CommitsCut => return mysql::commits_cut(world, act).await,
            Self::BothKilled => {
                world.redis.kill();
                world.mariadb.kill();
                act.pass().await;
                futures::future::join(world.redis.restart(), world.mariadb.restart()).await;
            }
            Self::Links(link) => return link.strike(world, victim, act).await,
        }
        Ok(())
    }
}
