//! The service over the embedded stores, served in this process, with bounds that the test chooses.

use std::net::SocketAddr;
use std::time::Duration;

use stockhold::grpc::calls::{Calls, CallsConfig};
use stockhold::grpc::health::Health;
use stockhold::grpc::http2::{ConnectionsConfig, serve};
use stockhold::grpc::served::Served;
use stockhold::grpc::session::Sessions;
use stockhold::grpc::unsent::Unsent;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use super::http2::BOUND;
use super::service::LocalService;

/// How long a session is read from after it was told `going_away`.
const READ_ON: Duration = Duration::from_millis(100);

/// Longer than any test runs.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct ServedHere {
    pub(crate) address: SocketAddr,
    pub(crate) unsent: Unsent,
    it: LocalService,
    health: Option<Health>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl ServedHere {
    pub(crate) async fn start(connections: ConnectionsConfig, unsent_bytes_max: usize) -> Self {
        let it = LocalService::embedded().await;
        let (health, health_server) = Health::follow(it.service.clone()).await;
        let calls = Calls::new(&CallsConfig { concurrency_max: 1000, call_bytes_max: 64 << 20, deadline_max: BOUND });
        let unsent = Unsent::new(unsent_bytes_max);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let sessions = Sessions::until(stop.clone(), READ_ON, 100);
        let served = Served::new(&it.service, health_server, &calls, sessions, true).expect("the services");
        let server = tokio::spawn(serve(calls.layer(served), listener, connections, unsent.clone(), stop.clone()));
        Self { address, unsent, it, health: Some(health), stop, server }
    }

    /// Health says that nothing is served, and its watches end.
    pub(crate) async fn stop_health(&mut self) {
        self.health.take().expect("it is stopped once").stop().await;
    }

    pub(crate) async fn end(mut self) {
        if self.health.is_some() {
            self.stop_health().await;
        }
        self.stop.cancel();
        timeout(BOUND, self.server).await.expect("ends in time").expect("does not panic");
        self.it.ledger.close().await.expect("closes");
        self.it.database.remove().await;
    }
}
