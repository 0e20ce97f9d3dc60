//! Links between instances and stores that are cut, fall silent or become slow.

use std::time::{Duration, Instant};

use stockhold_servers::proxy::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::act::{Act, Promise};
use crate::instance::Instance;
use crate::world::World;

/// The delay that a slow link adds to each chunk, in each direction.
const LATENCY: Duration = Duration::from_millis(40);

/// A Confirm makes several round trips to the stores, and may wait for others that do the same.
const SLOW_MAX: Duration = Duration::from_secs(10);

/// MySQL keeps the locks of a silent instance until its `wait_timeout` of 10 s. Then the callers that wait for them
/// need a moment.
const LOCKED_MAX: Duration = Duration::from_secs(15);

/// Which store the link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Redis,
    Mysql,
}

/// The harm that is done to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Connections end, new ones are refused.
    Cut,
    /// Nothing passes, and neither side is told. When it is over, new connections work, and the old ones stay silent
    /// for ever.
    Silence,
    Slow,
}

/// The links to harm: those of one instance, or of both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) store: Store,
    pub(crate) harm: Harm,
    pub(crate) both: bool,
    name: &'static str,
}

impl Link {
    pub(crate) const ALL: [Self; 12] = [
        Self::new(Store::Redis, Harm::Cut, true, "Redis links cut"),
        Self::new(Store::Redis, Harm::Cut, false, "Redis link cut, one instance"),
        Self::new(Store::Redis, Harm::Silence, true, "Redis links silent"),
        Self::new(Store::Redis, Harm::Silence, false, "Redis link silent, one instance"),
        Self::new(Store::Redis, Harm::Slow, true, "Redis links slow"),
        Self::new(Store::Redis, Harm::Slow, false, "Redis link slow, one instance"),
        Self::new(Store::Mysql, Harm::Cut, true, "MySQL links cut"),
        Self::new(Store::Mysql, Harm::Cut, false, "MySQL link cut, one instance"),
        Self::new(Store::Mysql, Harm::Silence, true, "MySQL links silent"),
        Self::new(Store::Mysql, Harm::Silence, false, "MySQL link silent, one instance"),
        Self::new(Store::Mysql, Harm::Slow, true, "MySQL links slow"),
        Self::new(Store::Mysql, Harm::Slow, false, "MySQL link slow, one instance"),
    ];

    const fn new(store: Store, harm: Harm, both: bool, name: &'static str) -> Self {
        Self { store, harm, both, name }
    }

    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    pub(crate) async fn strike(self, world: &mut World, victim: usize, act: &Act) -> Result<(), String> {
        for proxy in self.proxies(world, victim) {
            match self.harm {
                Harm::Cut => proxy.cut().await,
                Harm::Silence => proxy.silence_all(),
                Harm::Slow => proxy.slow(LATENCY),
            }
        }
        // Probes see the other harms. A slow link must be measured, because on a busy machine everything is slow.
        let mut harmed = Ok(());
        if self.harm == Harm::Slow {
            for proxy in self.proxies(world, victim) {
                harmed = harmed.and(is_slow(proxy, self.store).await);
            }
        }
        act.pass().await;
        for proxy in self.proxies(world, victim) {
            match self.harm {
                Harm::Cut => proxy.mend().await,
                Harm::Silence => proxy.silence(),
                Harm::Slow => proxy.slow(Duration::ZERO),
            }
        }
        harmed
    }

    /// What an instance must do while its link is harmed.
    pub(crate) fn promise(self) -> Promise {
        match (self.harm, self.store) {
            (Harm::Slow, _) => Promise::Everything { within: SLOW_MAX },
            (_, Store::Redis) => Promise::Unavailable,
            (_, Store::Mysql) => Promise::Holds,
        }
    }

    /// What the other instance must do, if only one link is harmed.
    pub(crate) fn promise_elsewhere(self) -> Promise {
        match (self.harm, self.store) {
            // Callers wait for the locks, and other locations may wait for their turn behind them.
            (Harm::Silence, Store::Mysql) => Promise::Everything { within: LOCKED_MAX },
            _ => Promise::EVERYTHING,
        }
    }

    fn proxies(self, world: &mut World, victim: usize) -> impl Iterator<Item = &mut Proxy> {
        let instances = world.instances.iter_mut().enumerate();
        let hurt = instances.filter(move |(index, _)| self.both || *index == victim);
        hurt.map(move |(_, instance)| proxy(instance, self.store))
    }
}

fn proxy(instance: &mut Instance, store: Store) -> &mut Proxy {
    match store {
        Store::Redis => &mut instance.redis,
        Store::Mysql => &mut instance.mysql,
    }
}

/// Waits for the first bytes of the server: MySQL sends a greeting, Redis must be asked.
async fn is_slow(proxy: &Proxy, store: Store) -> Result<(), String> {
    let begin = Instant::now();
    let greeted = async {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
        if store == Store::Redis {
            stream.write_all(b"PING\r\n").await?;
        }
        stream.read_u8().await
    };
    greeted.await.map_err(|error| format!("{store:?} did not answer: {error}"))?;
    let took = begin.elapsed();
    if took < LATENCY { Err(format!("{store:?} answered after {took:?}")) } else { Ok(()) }
}
