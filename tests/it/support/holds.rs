//! A holds' store as its contract's tests use it: commands as short words, replies as rows of a table.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use stockhold::domain::{Lines, Location, Outcome, Reservation, ReservationId, Settlement, Sku, State, StockRow};
use stockhold::holds::batched::BatchedHolds;
use stockhold::holds::embedded::Clock;
use stockhold::holds::redis::RedisConfig;
use stockhold::holds::{Command, Holds, HoldsConfig, HoldsError, Reply};

use super::test_store::TestStore;

/// When the clock of a test begins, in Unix milliseconds: a day in 2026.
pub(crate) const START_MS: u64 = 1_790_000_000_000;

/// How long each Reserve of these tests holds.
pub(crate) const TTL_MS: u64 = 60_000;

/// Settings under which no test reaches the bound of tombstones.
pub(crate) const LARGE: HoldsConfig = HoldsConfig { tombstones_max: 1_000_000, ..CONFIG };

/// Settings under which a test reaches the bound of tombstones.
pub(crate) const CONFIG: HoldsConfig = HoldsConfig { retention: Duration::from_secs(3600), tombstones_max: 20 };

/// One location of a store.
pub(crate) struct TestHolds {
    pub(crate) store: TestStore,
    pub(crate) location: Location,
}

/// A clock that stands still until the test moves it.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<AtomicU64>);

impl Default for TestClock {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(START_MS)))
    }
}

impl TestClock {
    pub(crate) fn clock(&self) -> Clock {
        let now_ms = Arc::clone(&self.0);
        Arc::new(move || now_ms.load(Ordering::SeqCst))
    }

    /// Moves the clock to this time, in ms since the start of the test.
    pub(crate) fn at(&self, ms: u64) {
        self.0.store(START_MS + ms, Ordering::SeqCst);
    }
}

pub(crate) fn redis_config(prefix: &str) -> RedisConfig {
    RedisConfig {
        url: super::required("STOCKHOLD_TEST_REDIS_URL"),
        prefix: prefix.into(),
        holds: LARGE,
        pool_size: 2,
        timeout: Duration::from_secs(5),
    }
}

impl TestHolds {
    pub(crate) async fn embedded() -> Self {
        Self { store: TestStore::embedded(CONFIG), location: location("test") }
    }

    pub(crate) async fn redis() -> Self {
        Self { store: TestStore::redis(CONFIG).await, location: location("test") }
    }

    /// Redis behind shared calls.
    pub(crate) async fn batched() -> Self {
        let Self { mut store, location } = Self::redis().await;
        store.holds = Arc::new(Shared(BatchedHolds::over(store.holds)));
        Self { store, location }
    }

    /// Moves the clock to this time, in ms since the start of the test.
    pub(crate) fn at(&self, ms: u64) {
        self.store.clock.at(ms);
    }

    pub(crate) async fn try_all(&self, commands: Vec<Command>) -> Result<Vec<Reply>, HoldsError> {
        self.store.holds.apply(&self.location, &commands).await
    }

    pub(crate) async fn apply(&self, command: Command) -> Reply {
        self.try_all(vec![command]).await.expect("the store answers").remove(0)
    }

    /// Sweeps until nothing is overdue.
    pub(crate) async fn sweep(&self) {
        while let Reply::Swept { more: true, .. } = self.apply(Command::Sweep).await {}
    }

    /// Pushes rows of version 1: a sku and its `on_hand` each.
    pub(crate) async fn stock(&self, skus: &[(&str, i64)]) {
        let rows = skus.iter().map(|(name, on_hand)| (sku(name), Some(row(1, *on_hand)))).collect();
        self.apply(Command::Push { rows }).await;
    }

    /// `held` and `available` of a sku, reclaiming what is overdue.
    pub(crate) async fn held_available(&self, name: &str) -> (i64, i64) {
        loop {
            match self.apply(Command::Stock { skus: vec![sku(name)] }).await {
                Reply::Stock(items) => return (items[0].held, items[0].row.available(items[0].held)),
                Reply::More => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn state(&self, name: &str) -> Option<State> {
        match self.apply(Command::Get { id: id(name) }).await {
            Reply::Accepted(reservation) => Some(reservation.state),
            Reply::NotFound => None,
            other => panic!("{other:?}"),
        }
    }
}

/// Sends each command as a caller of its own, all at the same time. The error is that of one of them.
struct Shared(BatchedHolds);

#[async_trait]
impl Holds for Shared {
    async fn apply(&self, location: &Location, commands: &[Command]) -> Result<Vec<Reply>, HoldsError> {
        join_all(commands.iter().map(|command| self.0.apply(location, command.clone()))).await.into_iter().collect()
    }

    async fn ping(&self) -> Result<(), HoldsError> {
        self.0.ping().await
    }
}

pub(crate) fn location(name: &str) -> Location {
    Location::parse(name).expect(name)
}

pub(crate) fn sku(name: &str) -> Sku {
    Sku::parse(name).expect(name)
}

pub(crate) fn id(name: &str) -> ReservationId {
    ReservationId::parse(name).expect(name)
}

pub(crate) fn lines(lines: &[(&str, u32)]) -> Lines {
    Lines::merge(lines.iter().map(|(name, quantity)| (sku(name), *quantity))).expect("within bounds")
}

pub(crate) fn row(version: i64, on_hand: i64) -> StockRow {
    StockRow { version, on_hand, floor: 0, retired: false }
}

pub(crate) fn reserve(name: &str, wanted: &[(&str, u32)]) -> Command {
    Command::Reserve { id: id(name), lines: lines(wanted), ttl_ms: TTL_MS }
}

pub(crate) fn begin(name: &str) -> Command {
    Command::Begin { id: id(name), lines: None, reacquire: false }
}

pub(crate) fn begin_part(name: &str, part: &[(&str, u32)]) -> Command {
    Command::Begin { id: id(name), lines: Some(lines(part)), reacquire: false }
}

pub(crate) fn reacquire(name: &str) -> Command {
    Command::Begin { id: id(name), lines: None, reacquire: true }
}

pub(crate) fn cancel(name: &str) -> Command {
    Command::Cancel { id: id(name) }
}

/// Extends to `ms` after the start of the test; at most an hour in all.
pub(crate) fn extend(name: &str, ms: u64, reacquire: bool) -> Command {
    Command::Extend { id: id(name), expire_ms: START_MS + ms, lifetime_ms: 3_600_000, reacquire }
}

/// A settlement of `wanted`, with rows of version 2 that have `left` on hand.
pub(crate) fn settle(name: &str, outcome: Outcome, wanted: &[(&str, u32)], left: &[(&str, i64)]) -> Command {
    let rows = left.iter().map(|(name, on_hand)| (sku(name), Some(row(2, *on_hand)))).collect();
    Command::Settle { settlement: settlement(name, outcome, wanted), rows }
}

pub(crate) fn settlement(name: &str, outcome: Outcome, wanted: &[(&str, u32)]) -> Settlement {
    let confirmed = (outcome == Outcome::Confirmed).then(|| lines(wanted));
    let fingerprint = confirmed.as_ref().map(Lines::fingerprint);
    Settlement {
        id: id(name),
        outcome,
        reserved: fingerprint,
        confirmed: fingerprint,
        lines: confirmed.unwrap_or_default(),
        time_ms: START_MS,
    }
}

/// The reservation of an accepted reply.
pub(crate) fn accepted(reply: Reply) -> Reservation {
    match reply {
        Reply::Accepted(reservation) => reservation,
        other => panic!("not accepted: {other:?}"),
    }
}

/// The state of the reservation in a reply, and whether it was accepted.
pub(crate) fn outcome(reply: &Reply) -> (&'static str, Option<State>) {
    match reply {
        Reply::Accepted(reservation) => ("accepted", Some(reservation.state)),
        Reply::Ended(reservation) => ("ended", Some(reservation.state)),
        Reply::IdReused => ("id reused", None),
        Reply::NotFound => ("not found", None),
        Reply::Mismatch => ("mismatch", None),
        Reply::BeyondLifetime(_) => ("beyond lifetime", None),
        Reply::Short(_) => ("short", None),
        Reply::Retired(_) => ("retired", None),
        Reply::Missing(_) => ("missing", None),
        Reply::UnknownLocation => ("unknown location", None),
        Reply::TombstonesFull => ("tombstones full", None),
        Reply::More => ("more", None),
        _ => ("other", None),
    }
}
