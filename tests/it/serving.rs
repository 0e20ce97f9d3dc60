//! How serving ends, over a real socket: what health says meanwhile, and who may hold it up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use stockhold::domain::Location;
use stockhold::grpc::health::Health;
use stockhold::grpc::http2::ConnectionsConfig;
use stockhold::holds::batched::BatchedHolds;
use stockhold::holds::{Command, Holds, HoldsError, Reply};
use stockhold::ledger::Ledger;
use stockhold::service::Service;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, ServiceUnknown, Serving};
use tonic_health::pb::health_client::HealthClient;

use crate::support::http2::BOUND;
use crate::support::memory_database::{Calm, MemoryDatabase};
use crate::support::served::{FOR_EVER, ServedHere};
use crate::support::service::limits;

/// The names that health knows.
const NAMES: [&str; 4] = ["", "stockhold.v1.ReservationService", "stockhold.v1.StockService", "stockhold.completion"];

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

/// A store that answers only pings, and answers them too late for health.
#[derive(Default)]
struct Slow {
    answered: AtomicUsize,
}

#[async_trait]
impl Holds for Slow {
    async fn apply(&self, _: &Location, _: &[Command]) -> Result<Vec<Reply>, HoldsError> {
        Err(HoldsError::Unavailable("slow".into()))
    }

    async fn ping(&self) -> Result<(), HoldsError> {
        sleep(Duration::from_secs(3)).await;
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// The store's client must learn whether its connection answers at all.
#[tokio::test(start_paused = true)]
async fn a_ping_that_is_too_late_for_health_runs_to_its_end() {
    let holds = Arc::new(Slow::default());
    let database = MemoryDatabase::new(Arc::default(), 0, Arc::new(Calm));
    let ledger = Ledger::over(Arc::new(database), 10, 10);
    let service = Arc::new(Service::new(BatchedHolds::over(Arc::clone(&holds) as _), ledger, limits()));
    let (health, _server) = Health::follow(service).await;
    sleep(Duration::from_secs(10)).await;
    assert!(holds.answered.load(Ordering::Relaxed) > 0, "every ping was dropped");
    health.stop().await;
}

#[tokio::test]
async fn health_is_not_serving_until_the_connections_have_ended() {
    let mut it = ServedHere::start(ConnectionsConfig::new(10, FOR_EVER, FOR_EVER), 1 << 30).await;
    let channel = Endpoint::from_shared(format!("http://{}", it.address)).expect("an address").connect().await;
    let mut client = HealthClient::new(channel.expect("connects"));
    let mut watches = Vec::new();
    for name in NAMES {
        assert_eq!(client.check(about(name)).await.expect("an answer").into_inner().status(), Serving, "{name}");
        let mut watch = client.watch(about(name)).await.expect("a stream").into_inner();
        assert_eq!(watch.next().await.expect("the present status").expect("a status").status(), Serving, "{name}");
        watches.push(watch);
    }

    // By the protocol of health checks a name that may come later is no error.
    let mut unknown = client.watch(about("later")).await.expect("a stream").into_inner();
    assert_eq!(unknown.next().await.expect("a status").expect("a status").status(), ServiceUnknown);
    assert_eq!(client.check(about("later")).await.expect_err("there is none").code(), Code::NotFound);

    it.stop_health().await;
    assert!(timeout(BOUND, unknown.next()).await.expect("the stream ends").is_none());
    for (name, watch) in NAMES.iter().zip(watches) {
        assert_eq!(client.check(about(name)).await.expect("an answer").into_inner().status(), NotServing, "{name}");
        // One that was watching, and one that begins only now: both are told, and both end.
        let late = client.watch(about(name)).await.expect("a stream").into_inner();
        for watch in [watch, late] {
            let rest = timeout(BOUND, watch.map(|answer| answer.expect("a status").status()).collect::<Vec<_>>());
            assert_eq!(rest.await.expect("the stream ends"), [NotServing], "{name}");
        }
    }

    // The client keeps its connection, and does not hold the server up.
    it.end().await;
}
