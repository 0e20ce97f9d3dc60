//! Puts the parts together, serves, and takes them apart in order.

mod error;
mod stores;

use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::config::Config;
use crate::grpc::calls::Calls;
use crate::grpc::health::Health;
use crate::grpc::http2;
use crate::grpc::served::Served;
use crate::grpc::session::Sessions;
use crate::grpc::unsent::Unsent;
use crate::holds::Holds;
use crate::holds::batched::BatchedHolds;
use crate::holds::embedded::{EmbeddedHolds, system_clock};
use crate::ledger::{Ledger, LedgerConfig};
use crate::service::Service;
use crate::tasks::Tasks;
use crate::telemetry::chain;
use crate::version::VERSION;

pub use error::AppError;

/// Serves on `listener` until `shutdown`. Then it ends within the grace period, in this order: health says not
/// serving, no connection is accepted, calls finish, background work stops, the ledger commits what waits and closes.
/// Connections to the holds' store end with the process: every call over them was answered before. A `shutdown` that
/// comes while the stores are being opened ends that at once.
pub async fn serve(config: Config, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), AppError> {
    let address = listener.local_addr().map_err(AppError::Listen)?;
    tracing::info!(instance = %instance(), "stockhold {VERSION} starts");
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));

    // Holds in this process allow one instance only, which a SQLite file makes sure of.
    let _claim = match &config.redis {
        None => Ledger::claim(&config.ledger).map_err(AppError::Ledger)?,
        Some(_) => None,
    };
    let mut shutdown = pin!(shutdown);
    let (ledger, redis) = tokio::select! {
        opened = stores::open(&config) => opened?,
        () = &mut shutdown => return Ok(()),
    };
    let holds: Arc<dyn Holds> = match redis {
        Some(redis) => redis,
        None => Arc::new(EmbeddedHolds::new(config.holds, system_clock())),
    };
    let service = Arc::new(Service::new(BatchedHolds::over(holds), ledger.clone(), config.limits));
    let tasks = Tasks::start(&service, &config.tasks);
    let (health, health_server) = Health::follow(service.clone()).await;

    let calls = Calls::new(&config.calls);
    let stop = CancellationToken::new();
    // Sessions are told to go well before the server stops, so that their calls can finish. They are read from for a
    // quarter of the grace; the server has half of it.
    let sessions = Sessions::until(stop.clone(), config.shutdown_grace / 4, config.sessions_max);
    let served =
        Served::new(&service, health_server, &calls, sessions, config.reflection).map_err(AppError::Reflection)?;
    let unsent = Unsent::new(config.unsent_bytes_max);
    let mut server = pin!(http2::serve(calls.layer(served), listener, config.connections, unsent, stop.clone()));
    tracing::info!(addr = %address, "listening");
    tokio::select! {
        // It does not end before it is stopped.
        () = &mut server => {}
        () = shutdown => tracing::info!("shutting down"),
    }

    let close = async {
        health.stop().await;
        stop.cancel();
        // A caller may keep a stream open for ever. The next steps need time too.
        if timeout(config.shutdown_grace / 2, server).await.is_err() {
            tracing::warn!("some callers keep their connections open: leaving them");
        }
        // A Reconcile of much stock takes long. It may be cut anywhere.
        if timeout(config.shutdown_grace / 4, calls.finish()).await.is_err() {
            tracing::warn!("some calls take too long: leaving them");
        }
        tasks.stop().await;
        service.quiet().await;
        if let Err(error) = ledger.close().await {
            tracing::warn!(error = chain(&error), "the database did not close well");
        }
    };
    timeout(config.shutdown_grace, close).await.map_err(|_| AppError::Grace(config.shutdown_grace))?;
    tracing::info!("stopped");
    Ok(())
}

/// Brings the database's tables up to date.
pub async fn migrate(config: &LedgerConfig) -> Result<(), AppError> {
    let _claim = Ledger::claim(config).map_err(AppError::Ledger)?;
    let ledger = Ledger::connect(config).await.map_err(AppError::Ledger)?;
    let steps = ledger.migrate().await.map_err(AppError::Ledger)?;
    tracing::info!(steps, "the database's tables are up to date");
    ledger.close().await.map_err(AppError::Ledger)
}

/// Tells this run of an instance from others in a log that many write.
fn instance() -> String {
    format!("{:08x}", fastrand::u32(..))
}
