//! The service over holds in this process and a database in memory, which fails as the test tells it to. Time is
//! paused: a test advances it by sleeping.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use stockhold::domain::{Location, Reservation, StockTarget};
use stockhold::holds::batched::BatchedHolds;
use stockhold::holds::embedded::{EmbeddedHolds, Snapshot};
use stockhold::ledger::{Failure, Ledger, LedgerError};
use stockhold::service::{Error, Service};
use tokio::time::{Instant, sleep};

use super::holds::{LARGE, START_MS, TTL_MS, TestClock, id, lines, sku};
use super::memory_database::{CommitFate, MemoryDatabase, Server, Weather, failed};
use super::service::{limits, request_id};

/// How long a statement takes.
const STATEMENT: Duration = Duration::from_millis(5);

/// How long a pool waits for a connection to a database that is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) struct MemoryService {
    pub(crate) service: Arc<Service>,
    pub(crate) server: Arc<Server>,
    pub(crate) weather: Arc<TestWeather>,
    holds: Arc<EmbeddedHolds>,
}

pub(crate) struct TestWeather {
    begun: Instant,
    statements: AtomicUsize,
    is_away: AtomicBool,
    stall: Mutex<Option<Duration>>,
}

impl TestWeather {
    /// How many statements, or packets of statements, the database was asked to run.
    pub(crate) fn statements(&self) -> usize {
        self.statements.load(Ordering::Relaxed)
    }

    pub(crate) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    /// The next commit loses its connection, and happens after this delay.
    pub(crate) fn stall_next_commit(&self, delay: Duration) {
        *self.stall.lock().unwrap_or_else(PoisonError::into_inner) = Some(delay);
    }
}

#[async_trait]
impl Weather for TestWeather {
    async fn connect(&self) -> Result<(), LedgerError> {
        if self.is_away.load(Ordering::Relaxed) {
            self.statements.fetch_add(1, Ordering::Relaxed);
            sleep(CONNECT_TIMEOUT).await;
            return Err(failed(Failure::NoConnection, "the test"));
        }
        Ok(())
    }

    async fn statement(&self) -> Result<(), LedgerError> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        sleep(STATEMENT).await;
        Ok(())
    }

    fn commit(&self) -> CommitFate {
        match self.stall.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(delay) => CommitFate::Late(delay),
            None => CommitFate::Done,
        }
    }

    fn now_micros(&self) -> i64 {
        START_MS as i64 * 1000 + self.begun.elapsed().as_micros() as i64
    }
}

impl MemoryService {
    pub(crate) fn new() -> Self {
        let holds = Arc::new(EmbeddedHolds::new(LARGE, TestClock::default().clock()));
        let weather = Arc::new(TestWeather {
            begun: Instant::now(),
            statements: AtomicUsize::new(0),
            is_away: AtomicBool::new(false),
            stall: Mutex::default(),
        });
        let server = Arc::<Server>::default();
        let database = MemoryDatabase::new(Arc::clone(&server), 0, Arc::clone(&weather) as _);
        let ledger = Ledger::over(Arc::new(database), 1000, 128);
        let service = Arc::new(Service::new(BatchedHolds::over(Arc::clone(&holds) as _), ledger, limits()));
        Self { service, server, weather, holds }
    }

    /// What the holds' store has.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.holds.look(Snapshot::clone)
    }

    /// Restores an earlier state of the holds' store. The default is an empty store.
    pub(crate) fn restore(&self, snapshot: Snapshot) {
        self.holds.restore(snapshot);
    }

    /// Sets `on_hand` of these skus.
    pub(crate) async fn set(&self, location: &Location, names: &[String], on_hand: i64) {
        for some in names.chunks(100) {
            let target = |name: &String| StockTarget {
                sku: sku(name),
                on_hand,
                floor: 0,
                retired: false,
                expected_version: None,
            };
            let targets = some.iter().map(target).collect();
            self.service.set_stock(location, request_id(), targets).await.expect("the stock is set");
        }
    }

    pub(crate) async fn reserve(&self, location: &Location, name: &str, of: &str) -> Result<Reservation, Error> {
        let ttl = Duration::from_millis(TTL_MS);
        self.service.reserve(location, id(name), lines(&[(of, 1)]), ttl).await
    }

    /// `on_hand` of a sku by the holds' store.
    pub(crate) async fn register(&self, location: &Location, name: &str) -> i64 {
        self.service.get_stock(location, vec![sku(name)]).await.expect("reads")[0].row.on_hand
    }

    /// `on_hand` of a sku by the ledger.
    pub(crate) fn row(&self, location: &Location, name: &str) -> i64 {
        self.server.look(|tables| tables.stock[&(location.clone(), sku(name))].on_hand)
    }
}
