//! Puts the parts together, serves, and takes them apart in order.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

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
use crate::holds::batched::BatchedHolds;
use crate::holds::embedded::{EmbeddedHolds, system_clock};
use crate::holds::redis::RedisHolds;
use crate::holds::{Holds, HoldsError};
use crate::ledger::{Ledger, LedgerConfig, LedgerError};
use crate::service::Service;
use crate::tasks::Tasks;
use crate::telemetry::chain;

/// Why the server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The listener has no address.
    #[error("cannot listen")]
    Listen(#[source] std::io::Error),
    /// The holds' store.
    #[error("the holds' store cannot be used")]
    Holds(#[source] HoldsError),
    /// The ledger.
    #[error("the database cannot be used")]
    Ledger(#[source] LedgerError),
    /// The descriptors of the build are broken.
    #[error("cannot serve reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// What was still running is left to the recovery of the next start.
    #[error("shutting down took longer than {}", humantime::format_duration(*.0))]
    Grace(Duration),
}

/// Serves on `listener` until `shutdown`; then, within the grace period: not serving, stop accepting, finish calls,
/// stop background work, close the ledger, which flushes what waits there. Connections to the holds' store end with the
/// process: every call over them was answered before. A `shutdown` that comes while the stores are being opened ends that at once.
pub async fn serve(config: Config, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), AppError> {
    let address = listener.local_addr().map_err(AppError::Listen)?;
    tracing::info!("{}", config.mode());
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }

    // Holds in this process allow one instance only, which a SQLite file makes sure of.
    let _claim = match &config.redis {
        None => Ledger::claim(&config.ledger).map_err(AppError::Ledger)?,
        Some(_) => None,
    };
    let mut shutdown = pin!(shutdown);
    let open = async { Ok((open_ledger(&config.ledger).await?, open_redis(&config).await?)) };
    let (ledger, redis) = tokio::select! {
        opened = open => opened?,
        () = &mut shutdown => return Ok(()),
    };
    let holds: Arc<dyn Holds> = match &redis {
        Some(redis) => redis.clone(),
        None => Arc::new(EmbeddedHolds::new(config.holds, system_clock())),
    };
    let service = Arc::new(Service::new(BatchedHolds::over(holds), ledger.clone(), config.limits));
    let tasks = Tasks::start(&service, &config.tasks);
    let (health, health_server) = Health::follow(service.clone()).await;

    let calls = Calls::new(&config.calls);
    let stop = CancellationToken::new();
    // Well before the server is left, so that there is time for what they have begun. Calls that take longer than a
    // quarter of the grace are left with it.
    let sessions = Sessions::until(stop.clone(), config.shutdown_grace / 4, config.sessions_max);
    let served =
        Served::new(&service, health_server, &calls, sessions, config.reflection).map_err(AppError::Reflection)?;
    let (guarded, unsent) = (calls.layer(served), calls.unsent().clone());
    let mut server = pin!(http2::serve(guarded, listener, config.connections, unsent, stop.clone()));
    tracing::info!(addr = %address, "listening");
    tokio::select! {
        // It does not end before it is stopped.
        () = &mut server => {}
        () = shutdown => tracing::info!("shutting down"),
    }

    let close = async {
        health.stop().await;
        stop.cancel();
        // A caller may keep a stream open for ever; what comes after must not starve for it.
        if timeout(config.shutdown_grace / 2, server).await.is_err() {
            tracing::warn!("some callers keep their connections open: leaving them");
        }
        // A reconcile takes as long as there is stock; it may be cut anywhere.
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

async fn open_ledger(config: &LedgerConfig) -> Result<Ledger, AppError> {
    let ledger = Ledger::connect(config).await.map_err(AppError::Ledger)?;
    ledger.migrate().await.map_err(AppError::Ledger)?;
    for warning in ledger.durability_warnings().await.map_err(AppError::Ledger)? {
        tracing::warn!("database: {warning}");
    }
    Ok(ledger)
}

async fn open_redis(config: &Config) -> Result<Option<Arc<RedisHolds>>, AppError> {
    let Some(config) = &config.redis else { return Ok(None) };
    let redis = RedisHolds::connect(config).await.map_err(AppError::Holds)?;
    for warning in redis.warnings() {
        tracing::warn!("Redis: {warning}");
    }
    Ok(Some(Arc::new(redis)))
}
