//! Background work: sweeping, recovery, sync and reconciliation, each on its own timer, over all locations. Every run is idempotent, safe on
//! every instance at once, and uses the same code as live calls (`service`).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::domain::Location;
use crate::service::{Error, Service};

/// How many locations a task works on at the same time.
const LOCATIONS_AT_ONCE: usize = 8;

/// How often each task runs.
#[derive(Clone, Debug)]
pub struct TasksConfig {
    /// Reclaiming overdue holds of idle locations; Reserve reclaims those in its way by itself.
    pub sweep_every: Duration,
    /// Looking for reservations to recover.
    pub recover_every: Duration,
    /// How long a reservation must lie untouched before it is recovered. Shorter than a call takes only costs double work.
    pub recover_grace: Duration,
    /// Pushing rows that changed: how long a register may be behind.
    pub sync_every: Duration,
    /// Comparing everything.
    pub reconcile_every: Duration,
}

/// The running tasks.
pub struct Tasks {
    running: JoinSet<()>,
    stop: CancellationToken,
}

impl Tasks {
    /// Starts all tasks. Each runs for the first time after its own period.
    pub fn start(service: Arc<Service>, config: TasksConfig) -> Self {
        let mut tasks = Self { running: JoinSet::new(), stop: CancellationToken::new() };
        tasks.every("sweep", config.sweep_every, &service, |service, location| async move {
            let reclaimed = service.sweep(&location).await?;
            if reclaimed > 0 {
                tracing::debug!(%location, reclaimed, "reclaimed expired holds");
            }
            Ok(())
        });
        let grace = config.recover_grace;
        tasks.every("recover", config.recover_every, &service, move |service, location| async move {
            let recovered = service.recover(&location, grace).await?;
            if recovered.finished + recovered.failed > 0 {
                tracing::info!(%location, recovered.finished, recovered.failed, "recovered reservations");
            }
            Ok(())
        });
        tasks.every("sync", config.sync_every, &service, |service, location| async move {
            let behind = service.sync(&location).await?;
            if behind > 0 {
                tracing::info!(%location, behind, "pushed stock rows that the holds' store did not have");
            }
            Ok(())
        });
        tasks.every("reconcile", config.reconcile_every, &service, |service, location| async move {
            let report = service.reconcile(&location, false).await?;
            for finding in &report.findings {
                tracing::warn!(%location, ?finding, "reconcile found a difference");
            }
            tracing::info!(%location, skus = report.sku_count, reservations = report.reservation_count, findings = report.finding_count, repaired = report.repaired_count, "reconciled");
            Ok(())
        });
        tasks
    }

    fn every<F, R>(&mut self, name: &'static str, period: Duration, service: &Arc<Service>, work: F)
    where
        F: Fn(Arc<Service>, Location) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Error>> + Send,
    {
        let (service, stop) = (Arc::clone(service), self.stop.clone());
        self.running.spawn(async move {
            let mut timer = interval_at(Instant::now() + period, period);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // Those of the last time serve when the ledger is away: sweeping does not need it.
            let mut locations = Vec::new();
            while stop.run_until_cancelled(timer.tick()).await.is_some() {
                match service.locations().await {
                    Ok(found) => locations = found,
                    Err(error) => tracing::warn!(task = name, ?error, "the locations could not be read"),
                }
                // One location that is slow must not keep the others waiting.
                let todo = locations.iter().take_while(|_| !stop.is_cancelled());
                let runs = futures::stream::iter(todo).for_each_concurrent(LOCATIONS_AT_ONCE, |location| {
                    // A panic ends this run only; the panic hook has logged it.
                    let run = AssertUnwindSafe(work(Arc::clone(&service), location.clone())).catch_unwind();
                    async move {
                        if let Ok(Err(error)) = run.await {
                            tracing::warn!(task = name, %location, ?error, "a background task failed; it runs again");
                        }
                    }
                });
                runs.await;
            }
        });
    }

    /// Stops all tasks, each at the end of the locations it is at.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.running.join_next().await.is_some() {}
    }
}
