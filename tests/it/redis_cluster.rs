//! A Redis Cluster of real nodes: a slot that moves under load, and the death of the only node that the URL names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stockhold::grpc::v1;
use stockhold_servers::redis_cluster::RedisCluster;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::client::Caller;
use crate::support::eventually;
use crate::support::server::{Instance, TestService};

const SKU: &str = "sku";

const ON_HAND: i64 = 1_000_000;

/// Locations, spread over the nodes by their hash slots.
const LOCATIONS: usize = 9;

/// A connection whose last request was a call of the library.
const CALL: &str = " cmd=fcall ";

/// One service over a cluster, and a SQLite ledger.
struct Site {
    service: TestService,
    cluster: RedisCluster,
    channel: Channel,
    _home: TempDir,
}

impl Site {
    /// The URL names the first node alone.
    async fn start(primaries: usize, replicas: usize) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let mut cluster = RedisCluster::start(home.path(), primaries, replicas).await.expect("a cluster");
        let redis_url = format!("redis-cluster://{}", cluster.node(0).server());
        let database_url = format!("sqlite://{}?mode=rwc", home.path().join("ledger.db").display());
        let service = Instance::with_stores(&redis_url, "stockhold", &database_url).start();
        let endpoint = Endpoint::from_shared(format!("http://{}", service.address())).expect("an address");
        Self { service, cluster, channel: endpoint.connect().await.expect("connects"), _home: home }
    }

    async fn caller(&self) -> Caller {
        Caller::connect(self.service.address()).await
    }

    async fn is_serving(&self) -> bool {
        let request = HealthCheckRequest { service: "stockhold.v1.ReservationService".into() };
        let answer = HealthClient::new(self.channel.clone()).check(request).await;
        answer.expect("health answers").into_inner().status() == ServingStatus::Serving
    }

    /// The ids of the connections of every primary whose last request has this in its description.
    async fn connections(&self, last: &str) -> Vec<Vec<String>> {
        let clients = self.cluster.on_primaries(&["CLIENT", "LIST"]).await;
        let ids = clients.into_iter().map(|lines| {
            let lines = lines.into_iter().filter(|line| line.contains(last));
            lines.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
        });
        ids.collect()
    }
}

/// Orders in every location, one after the other in each, until they are told to stop.
struct Orders {
    stop: Arc<AtomicBool>,
    running: JoinSet<(String, i64)>,
    errors: Errors,
}

/// How many calls answered an error, in each location.
type Errors = Arc<Mutex<BTreeMap<String, u64>>>;

impl Orders {
    async fn start(site: &Site) -> Self {
        let (stop, errors) = (Arc::new(AtomicBool::new(false)), Errors::default());
        let mut running = JoinSet::new();
        for location in (0..LOCATIONS).map(|number| format!("l{number}")) {
            let mut caller = site.caller().await;
            let item = v1::SetStockItem { sku: SKU.into(), on_hand: ON_HAND, ..Default::default() };
            let request_id = format!("set-{location}");
            let request = v1::SetStockRequest { location: location.clone(), request_id, items: vec![item] };
            caller.stock.set_stock(request).await.expect("the stock is set");
            let (stop, errors) = (Arc::clone(&stop), Arc::clone(&errors));
            running.spawn(async move {
                let mut confirmed = 0;
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    confirmed += order(&mut caller, &location, number, &errors).await;
                }
                (location, confirmed)
            });
        }
        Self { stop, running, errors }
    }

    fn errors_of(&self, location: &str) -> u64 {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).get(location).copied().unwrap_or(0)
    }

    /// Ends them, and compares the books with what callers were told.
    async fn finish(mut self, site: &Site) -> BTreeMap<String, u64> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(done) = self.running.join_next().await {
            let (location, confirmed) = done.expect("orders end");
            assert!(confirmed > 0, "nothing was confirmed in {location}");
            let caller = site.caller().await;
            eventually(&format!("the books of {location} are exact"), Duration::from_secs(20), async || {
                let request = v1::GetStockRequest { location: location.clone(), skus: vec![SKU.into()] };
                let stock = caller.clone().stock.get_stock(request).await.expect("reads").into_inner().items.remove(0);
                (stock.on_hand, stock.held, stock.available) == (ON_HAND - confirmed, 0, ON_HAND - confirmed)
            })
            .await;
        }
        Arc::try_unwrap(self.errors).expect("no order runs").into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One order, confirmed or cancelled. Answers how many units were confirmed.
async fn order(caller: &mut Caller, location: &str, number: i64, errors: &Errors) -> i64 {
    let is_cancelled = number % 4 == 0;
    for step in [Step::Reserve, if is_cancelled { Step::Cancel } else { Step::Confirm }] {
        // Callers repeat a call for as long as a store is away.
        while let Err(status) = step.call(caller, location, &format!("order-{number}")).await {
            assert_eq!(status.code(), Code::Unavailable, "{location}: {status:?}");
            *errors.lock().unwrap_or_else(PoisonError::into_inner).entry(location.to_owned()).or_default() += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    i64::from(!is_cancelled)
}

#[derive(Clone, Copy)]
enum Step {
    Reserve,
    Confirm,
    Cancel,
}

impl Step {
    async fn call(self, caller: &mut Caller, location: &str, reservation_id: &str) -> Result<(), Status> {
        let (location, reservation_id) = (location.to_owned(), reservation_id.to_owned());
        match self {
            Step::Reserve => {
                let lines = vec![v1::Line { sku: SKU.into(), quantity: 1 }];
                let request = v1::ReserveRequest { location, reservation_id, lines, ..Default::default() };
                caller.reservations.reserve(request).await.map(|_| ())
            }
            Step::Confirm => {
                let request = v1::ConfirmRequest { location, reservation_id, ..Default::default() };
                caller.reservations.confirm(request).await.map(|_| ())
            }
            Step::Cancel => {
                let request = v1::CancelRequest { location, reservation_id };
                caller.reservations.cancel(request).await.map(|_| ())
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_ends_no_connection_and_other_locations_see_no_error() {
    let site = Site::start(3, 0).await;
    let orders = Orders::start(&site).await;
    let moving = "l0";
    let (slot, from) = site.cluster.first_home(&format!("stockhold:{{{moving}}}:stock")).await;
    let to = (from + 1) % 3;
    eventually("calls go over connections to every node", Duration::from_secs(10), async || {
        site.connections(CALL).await.iter().all(|connections| !connections.is_empty())
    })
    .await;
    let before = site.connections(CALL).await;

    let is_well = Arc::new(AtomicBool::new(true));
    let looks = Arc::new(AtomicU64::new(0));
    let moves = async {
        site.cluster.open_slot(slot, from, to).await;
        while site.cluster.move_key(slot, from, to).await {}
        // Each call of the location is now answered with ASK.
        let errors = orders.errors_of(moving);
        eventually("its callers meet the open slot", Duration::from_secs(20), async || {
            orders.errors_of(moving) >= errors + 20
        })
        .await;
        site.cluster.close_slot(slot, to).await;
        // Until its orders go on.
        let errors = orders.errors_of(moving);
        tokio::time::sleep(Duration::from_millis(500)).await;
        eventually("its callers meet no more errors", Duration::from_secs(20), async || {
            let errors = orders.errors_of(moving);
            tokio::time::sleep(Duration::from_millis(300)).await;
            orders.errors_of(moving) == errors
        })
        .await;
        assert!(orders.errors_of(moving) - errors < 20, "it was away for long after the move");
    };
    tokio::select! {
        () = moves => {}
        () = async {
            loop {
                if !site.is_serving().await {
                    is_well.store(false, Ordering::Relaxed);
                }
                looks.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        } => {}
    }
    assert!(is_well.load(Ordering::Relaxed) && looks.load(Ordering::Relaxed) > 0, "health was true throughout");
    // Whatever went over them last, a ping of health for one.
    let after = site.connections("").await;
    for (node, (before, after)) in before.iter().zip(&after).enumerate() {
        assert!(before.iter().all(|id| after.contains(id)), "connections of node {node}: {before:?}, now {after:?}");
    }
    let errors = orders.finish(&site).await;
    assert_eq!(errors.keys().collect::<Vec<_>>(), [moving], "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_the_only_node_that_the_url_names_heals() {
    let mut site = Site::start(3, 1).await;
    let orders = Orders::start(&site).await;
    site.cluster.node(0).kill();
    eventually("health says so", Duration::from_secs(20), async || !site.is_serving().await).await;
    eventually("its replica has taken over and is found", Duration::from_secs(40), async || site.is_serving().await)
        .await;
    let errors = orders.finish(&site).await;
    assert!(!errors.is_empty(), "the death of a node is seen");
}
