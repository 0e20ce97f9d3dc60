//! How serving ends, over a real socket: what health says meanwhile, and who may hold it up.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use stockhold::grpc::calls::{Calls, CallsConfig};
use stockhold::grpc::health::Health;
use stockhold::grpc::{routes, serve};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};
use tonic_health::pb::health_client::HealthClient;

use crate::support::service::LocalService;

/// Far more than any step here takes.
const BOUND: Duration = Duration::from_secs(30);

/// The names that health knows.
const SERVICES: [&str; 3] = ["", "stockhold.v1.ReservationService", "stockhold.v1.StockService"];

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn health_is_not_serving_until_the_connections_have_ended() {
    let LocalService { service, ledger, database, .. } = LocalService::embedded().await;
    let service = Arc::new(service);
    let (health, health_server) = Health::follow(service.clone()).await;
    let calls = Calls::new(&CallsConfig { concurrency_max: 10, deadline_max: BOUND });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let server =
        tokio::spawn(serve(routes(&service, health_server).expect("routes"), calls, listener, 10, stop.clone()));

    let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await;
    let mut client = HealthClient::new(channel.expect("connects"));
    let mut watches = Vec::new();
    for name in SERVICES {
        assert_eq!(client.check(about(name)).await.expect("an answer").into_inner().status(), Serving, "{name}");
        let mut watch = client.watch(about(name)).await.expect("a stream").into_inner();
        assert_eq!(watch.next().await.expect("the present status").expect("a status").status(), Serving, "{name}");
        watches.push(watch);
    }

    health.stop().await;
    for (name, watch) in SERVICES.iter().zip(watches) {
        assert_eq!(client.check(about(name)).await.expect("an answer").into_inner().status(), NotServing, "{name}");
        // One that was watching, and one that begins only now: both are told, and both end.
        let late = client.watch(about(name)).await.expect("a stream").into_inner();
        for watch in [watch, late] {
            let rest = timeout(BOUND, watch.map(|answer| answer.expect("a status").status()).collect::<Vec<_>>());
            assert_eq!(rest.await.expect("the stream ends"), [NotServing], "{name}");
        }
    }

    stop.cancel();
    // The client keeps its connection, and does not hold the server up.
    timeout(BOUND, server).await.expect("ends in time").expect("does not panic").expect("ends well");
    ledger.close().await.expect("closes");
    database.remove().await;
}
