//! `grpc.health.v1`, name by name. Reservations are served as long as the holds' store answers, because only their ends
//! need the database. Supply needs both stores, and so does the completion of orders.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::peer::Caller;
use super::reservations::Reservations;
use super::status;
use super::stock::Stock;
use super::v1::reservation_service_server::ReservationServiceServer;
use super::v1::stock_service_server::StockServiceServer;
use crate::service::Service;

/// How often the stores are asked.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// A store that takes longer, twice in a row, counts as away. Once may be a moment of load, which is no reason to turn
/// callers away.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether orders can be completed: no service, but what an alert should ask for.
pub const COMPLETION: &str = "stockhold.completion";

/// The names that health knows. The empty one is the server as a whole.
const NAMES: [(&str, Needs); 4] = [
    ("", Needs::Holds),
    (ReservationServiceServer::<Reservations>::NAME, Needs::Holds),
    (StockServiceServer::<Stock>::NAME, Needs::Both),
    (COMPLETION, Needs::Both),
];

/// The names that health knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().map(|(name, _)| name)
}

#[derive(Clone, Copy)]
enum Needs {
    Holds,
    Both,
}

/// Which stores answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stores {
    holds: bool,
    ledger: bool,
}

impl Stores {
    async fn probe(service: &Arc<Service>) -> Self {
        // It runs to its end even if that is too late for the probe. The store's client needs that to find out that a
        // connection is silent.
        let holds = tokio::spawn({
            let service = Arc::clone(service);
            async move { service.ping_holds().await }
        });
        let (holds, ledger) =
            tokio::join!(timeout(PROBE_TIMEOUT, holds), timeout(PROBE_TIMEOUT, service.ping_ledger()));
        Self { holds: matches!(holds, Ok(Ok(Ok(())))), ledger: matches!(ledger, Ok(Ok(()))) }
    }

    fn status(self, needs: Option<Needs>) -> ServingStatus {
        let serves = match needs {
            None => return ServingStatus::ServiceUnknown,
            Some(Needs::Holds) => self.holds,
            Some(Needs::Both) => self.holds && self.ledger,
        };
        if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
    }
}

/// Logs once that a store is away, and once how long it was.
struct Outage {
    store: &'static str,
    since: Option<Instant>,
}

impl Outage {
    fn of(store: &'static str) -> Self {
        Self { store, since: None }
    }

    fn note(&mut self, answers: bool) {
        let store = self.store;
        match self.since {
            None if !answers => {
                tracing::warn!("{store} is away");
                self.since = Some(Instant::now());
            }
            Some(since) if answers => {
                let away = Duration::from_millis(since.elapsed().as_millis() as u64);
                tracing::warn!("{store} is back: it was away for {}", humantime::format_duration(away));
                self.since = None;
            }
            None | Some(_) => {}
        }
    }
}

/// Follows the stores and tells callers and load balancers what is served.
#[derive(Debug)]
pub struct Health {
    stores: Arc<watch::Sender<Stores>>,
    probes: JoinHandle<()>,
}

impl Health {
    /// Asks the stores once, and from then on again and again.
    pub async fn follow(service: Arc<Service>) -> (Self, HealthServer<HealthService>) {
        let (sender, receiver) = watch::channel(Stores::probe(&service).await);
        let stores = Arc::new(sender);
        let probes = {
            let stores = stores.clone();
            async move {
                let mut last = *stores.borrow();
                let (mut holds, mut ledger) = (Outage::of("the holds' store"), Outage::of("the database"));
                let mut ticks = interval(PROBE_EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    let probed = Stores::probe(&service).await;
                    let now = Stores { holds: probed.holds || last.holds, ledger: probed.ledger || last.ledger };
                    last = probed;
                    holds.note(now.holds);
                    ledger.note(now.ledger);
                    // Only changes are reported, because each report wakes every watch.
                    if now != *stores.borrow() {
                        stores.send_replace(now);
                    }
                }
            }
        };
        (Self { stores, probes: tokio::spawn(probes) }, HealthServer::new(HealthService(receiver)))
    }

    /// Nothing is served from now on, whatever the stores say. Callers who watch are told, and their streams end,
    /// because they would keep their connections open. Callers who check are still told.
    pub async fn stop(self) {
        self.probes.abort();
        // It ends cancelled, and once it has ended no report of it comes after this one.
        let _ = self.probes.await;
        // The last sender is dropped here, which ends the streams. Checks still read what it has sent last.
        self.stores.send_replace(Stores::default());
    }
}

/// The answers to checks and watches. tonic's own service could end the watches only by forgetting the names.
#[derive(Debug)]
pub struct HealthService(watch::Receiver<Stores>);

#[tonic::async_trait]
impl health_server::Health for HealthService {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let needs = needs(request.get_ref()).ok_or_else(|| Status::not_found("no such service here"))?;
        Ok(Response::new(HealthCheckResponse { status: self.0.borrow().status(Some(needs)).into() }))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let caller = request.extensions().get::<Arc<Caller>>().ok_or_else(status::panicked)?;
        let ending = caller.ending.clone().cancelled_owned();
        let needs = needs(request.get_ref());
        let mut stores = self.0.clone();
        // So that the present status comes at once.
        stores.mark_changed();
        let answers = futures::stream::unfold((stores, None), move |(mut stores, last)| async move {
            loop {
                stores.changed().await.ok()?;
                let now = stores.borrow_and_update().status(needs);
                if last != Some(now) {
                    return Some((Ok(HealthCheckResponse { status: now.into() }), (stores, Some(now))));
                }
            }
        });
        // Else a watch would keep its connection open. Its client opens another one, as it does when a server stops.
        Ok(Response::new(answers.take_until(ending).boxed()))
    }
}

/// What the service of a request needs, if it is known.
fn needs(request: &HealthCheckRequest) -> Option<Needs> {
    NAMES.into_iter().find(|(name, _)| *name == request.service).map(|(_, needs)| needs)
}
