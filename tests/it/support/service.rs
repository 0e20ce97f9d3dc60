//! The service in this process over a pair of stores, both of which a test can reach past the service.

use std::sync::Arc;
use std::time::Duration;

use stockhold::domain::{Lines, Reservation, State, StockItem, StockTarget};
use stockhold::domain::{Refusal, RequestId};
use stockhold::holds::batched::BatchedHolds;
use stockhold::holds::{Command, Reply};
use stockhold::ledger::{Ledger, LedgerConfig};
use stockhold::service::{Error, LatePolicy, Limits, Service};
use uuid::Uuid;

use super::database::{self, TestDatabase};
use super::holds::{LARGE, TTL_MS, TestClock, id, lines, location, sku};
use super::test_store::TestStore;

pub(crate) struct LocalService {
    pub(crate) service: Arc<Service>,
    pub(crate) holds: BatchedHolds,
    pub(crate) ledger: Ledger,
    pub(crate) database: TestDatabase,
    pub(crate) clock: TestClock,
    store: TestStore,
}

/// The outcome of a call, short enough for a table.
#[derive(Debug, PartialEq)]
pub(crate) enum Came {
    To(State),
    Refused(&'static str),
    Failed(String),
}

pub(crate) fn limits() -> Limits {
    Limits {
        ttl_default: Duration::from_secs(60),
        ttl_min: Duration::from_secs(1),
        ttl_max: Duration::from_secs(3600),
        lifetime_max: Duration::from_secs(7200),
    }
}

pub(crate) async fn open_ledger(database: &TestDatabase) -> Ledger {
    let config = LedgerConfig { url: database.url.clone(), connections_max: 4, queue_max: 1000, batch_max: 256 };
    let ledger = Ledger::connect(&config).await.expect("connects");
    ledger.migrate().await.expect("migrates");
    ledger
}

impl LocalService {
    /// Holds in this process, ledger in SQLite.
    pub(crate) async fn embedded() -> Self {
        Self::over(TestStore::embedded(LARGE), database::sqlite()).await
    }

    /// Holds in Redis, ledger in MySQL.
    pub(crate) async fn servers() -> Self {
        Self::over(TestStore::redis(LARGE).await, database::mysql().await).await
    }

    async fn over(store: TestStore, database: TestDatabase) -> Self {
        let ledger = open_ledger(&database).await;
        let (holds, clock) = (BatchedHolds::over(store.holds.clone()), store.clock.clone());
        let service = Arc::new(Service::new(holds.clone(), ledger.clone(), limits()));
        Self { service, holds, ledger, database, clock, store }
    }

    /// The prefix of all keys, if holds are in Redis.
    pub(crate) fn redis_prefix(&self) -> Option<&str> {
        self.store.redis_prefix()
    }

    /// The holds' store loses everything, also what it learns of calls that were answered.
    pub(crate) async fn forget_holds(&self) {
        self.service.quiet().await;
        self.store.forget().await;
    }

    /// The holds' store loses both of its indexes.
    pub(crate) async fn lose_indexes(&self) {
        self.store.lose_indexes(&location("l")).await;
    }

    /// Applies one command at the holds' store, past the service, to leave what a crash or a rewind would leave.
    pub(crate) async fn at_holds(&self, command: Command) -> Reply {
        self.holds.apply(&location("l"), command).await.expect("the store answers")
    }

    pub(crate) async fn set(&self, name: &str, on_hand: i64) -> StockItem {
        self.set_with_floor(name, on_hand, 0).await
    }

    pub(crate) async fn set_with_floor(&self, name: &str, on_hand: i64, floor: i64) -> StockItem {
        let target = StockTarget { sku: sku(name), on_hand, floor, retired: false, expected_version: None };
        let items = self.service.set_stock(&location("l"), request_id(), vec![target]).await;
        items.expect("the stock is set").remove(0)
    }

    pub(crate) async fn reserve(&self, name: &str, wanted: &[(&str, u32)]) -> Came {
        came(self.service.reserve(&location("l"), id(name), lines(wanted), Duration::from_millis(TTL_MS)).await)
    }

    pub(crate) async fn confirm(&self, name: &str) -> Came {
        came(self.confirm_with(name, None, LatePolicy::Reject).await)
    }

    pub(crate) async fn confirm_part(&self, name: &str, part: &[(&str, u32)]) -> Came {
        came(self.confirm_with(name, Some(lines(part)), LatePolicy::Reject).await)
    }

    pub(crate) async fn reacquire(&self, name: &str) -> Came {
        came(self.confirm_with(name, None, LatePolicy::Reacquire).await)
    }

    pub(crate) async fn confirm_with(
        &self,
        name: &str,
        part: Option<Lines>,
        late: LatePolicy,
    ) -> Result<Reservation, Error> {
        self.service.confirm(&location("l"), id(name), part, late).await
    }

    pub(crate) async fn cancel(&self, name: &str) -> Came {
        came(self.service.cancel(&location("l"), id(name)).await)
    }

    pub(crate) async fn extend(&self, name: &str, ms: u64, late: LatePolicy) -> Came {
        let expire_ms = super::holds::START_MS + ms;
        came(self.service.extend(&location("l"), id(name), expire_ms, late).await)
    }

    pub(crate) async fn get(&self, name: &str) -> Came {
        came(self.service.get_reservation(&location("l"), id(name)).await)
    }

    /// `on_hand` and `held` of a sku.
    pub(crate) async fn stock(&self, name: &str) -> (i64, i64) {
        let items = self.service.get_stock(&location("l"), vec![sku(name)]).await.expect("reads");
        (items[0].row.on_hand, items[0].held)
    }

    /// Runs recovery as if the grace period had passed.
    pub(crate) async fn recover(&self) -> usize {
        let recovered = self.service.recover(&location("l"), Duration::ZERO).await.expect("recovers");
        assert_eq!(recovered.failed, 0);
        recovered.finished
    }

    /// Ends a test: recovery finishes everything, and Reconcile must find nothing.
    pub(crate) async fn ends_in_order(self) {
        self.recover().await;
        let report = self.service.reconcile(&location("l"), true).await.expect("compares");
        assert_eq!(report.findings, []);
        self.ledger.close().await.expect("closes");
        self.database.remove().await;
    }
}

pub(crate) fn request_id() -> RequestId {
    RequestId::parse(&Uuid::new_v4().to_string()).expect("an id")
}

pub(crate) fn came(result: Result<Reservation, Error>) -> Came {
    match result {
        Ok(reservation) => Came::To(reservation.state),
        Err(Error::Refused(refusal)) => Came::Refused(name_of(&refusal)),
        Err(error) => Came::Failed(format!("{error:?}")),
    }
}

pub(crate) fn name_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::InvalidFields(_) => "invalid",
        Refusal::InsufficientStock(_) => "short",
        Refusal::UnknownSkus(_) => "unknown sku",
        Refusal::UnknownLocation(_) => "unknown location",
        Refusal::RetiredSkus(_) => "retired",
        Refusal::ReservationNotFound(_) => "not found",
        Refusal::ReservationIdReused(_) => "id reused",
        Refusal::RequestIdReused(_) => "request id reused",
        Refusal::ConfirmMismatch(_) => "mismatch",
        Refusal::Expired(_) => "expired",
        Refusal::Cancelled(_) => "cancelled",
        Refusal::Confirmed(_) => "confirmed",
        Refusal::Rejected(..) => "rejected",
        Refusal::VersionMismatch(_) => "version",
    }
}
