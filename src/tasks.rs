//! Background work: sweeping, recovery, sync and reconciliation, each on its own timer, over all locations. Every run
//! is idempotent, safe on every instance at once, may be cut at any point, and uses the same code as live calls
//! (`service`).

mod failures;

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::domain::Location;
use crate::service::{Error, Service};
use crate::telemetry::chain;
use crate::telemetry::ration::Ration;
use failures::Failures;

/// How many locations a task works on at the same time.
const LOCATIONS_AT_ONCE: usize = 8;

/// Comparing everything is heavy on the database, and in no hurry.
const RECONCILED_AT_ONCE: usize = 1;

/// Bounds the lines about what runs did. When a store comes back, every location has something to tell.
static DONE: Ration = Ration::new(10, Duration::from_secs(10));

/// How often each task runs.
#[derive(Clone, Debug)]
pub struct TasksConfig {
    /// Reclaiming overdue holds (Reserve reclaims those in its way by itself), and forgetting what ended long ago.
    pub sweep_every: Duration,
    /// Looking for reservations to recover.
    pub recover_every: Duration,
    /// How long a reservation must lie untouched before it is recovered. Shorter than a call takes only costs double
    /// work.
    pub recover_grace: Duration,
    /// Pushing rows that changed: how long a register may be behind.
    pub sync_every: Duration,
    /// Comparing the two stores.
    pub reconcile_every: Duration,
    /// Comparing the database's books with each other.
    pub books_every: Duration,
}

/// The running tasks.
pub struct Tasks(JoinSet<()>);

impl Tasks {
    /// Starts all tasks. Each runs for the first time after its own period. Only the books, whose period may be longer
    /// than an instance lives, are first compared at a random time within it, so that instances take turns.
    pub fn start(service: &Arc<Service>, config: &TasksConfig) -> Self {
        let mut tasks = Self(JoinSet::new());
        tasks.every("sweep", config.sweep_every, LOCATIONS_AT_ONCE, service, |service, location| async move {
            let reclaimed = service.sweep(&location).await?;
            if reclaimed > 0 {
                tracing::debug!(location = location.as_str(), reclaimed, "reclaimed expired holds");
            }
            Ok(())
        });
        let grace = config.recover_grace;
        tasks.every("recover", config.recover_every, LOCATIONS_AT_ONCE, service, move |service, location| async move {
            let recovered = service.recover(&location, grace).await?;
            if recovered.finished + recovered.failed > 0 {
                let (finished, failed) = (recovered.finished, recovered.failed);
                if let Some(omitted) = DONE.take() {
                    tracing::info!(location = location.as_str(), finished, failed, omitted, "recovered reservations");
                }
            }
            Ok(())
        });
        tasks.every("sync", config.sync_every, LOCATIONS_AT_ONCE, service, |service, location| async move {
            service.sync(&location).await.map(drop)
        });
        tasks.every("reconcile", config.reconcile_every, RECONCILED_AT_ONCE, service, |service, location| async move {
            let report = service.reconcile_stores(&location).await?;
            // What was found is told in any case.
            let omitted = DONE.take();
            if omitted.is_some() || report.finding_count > 0 {
                tracing::info!(
                    location = location.as_str(),
                    skus = report.sku_count,
                    reservations = report.reservation_count,
                    findings = report.finding_count,
                    repaired = report.repaired_count,
                    omitted,
                    "reconciled"
                );
            }
            Ok(())
        });
        let first = config.books_every.mul_f64(fastrand::f64());
        tasks.every_from(first, "books", config.books_every, 1, service, |service, location| async move {
            let report = service.reconcile_books(&location).await?;
            let omitted = DONE.take();
            if omitted.is_some() || report.finding_count > 0 {
                let findings = report.finding_count;
                tracing::info!(location = location.as_str(), findings, omitted, "compared the books");
            }
            Ok(())
        });
        tasks
    }

    /// A location whose run takes longer than the period holds up neither the others nor itself: its next run waits for
    /// the next period.
    fn every<F, R>(&mut self, name: &'static str, period: Duration, at_once: usize, service: &Arc<Service>, work: F)
    where
        F: Fn(Arc<Service>, Location) -> R + Send + 'static,
        R: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.every_from(period, name, period, at_once, service, work);
    }

    /// As `every`, for the first time after `first`.
    fn every_from<F, R>(
        &mut self,
        first: Duration,
        name: &'static str,
        period: Duration,
        at_once: usize,
        service: &Arc<Service>,
        work: F,
    ) where
        F: Fn(Arc<Service>, Location) -> R + Send + 'static,
        R: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let service = Arc::clone(service);
        self.0.spawn(async move {
            let mut timer = interval_at(Instant::now() + first, period);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let permits = Arc::new(Semaphore::new(at_once));
            let (mut runs, mut running, mut failures) = (JoinSet::new(), HashSet::new(), Failures::default());
            // While the ledger is away the locations of the last time are used: sweeping does not need the ledger.
            let mut locations = Vec::new();
            loop {
                tokio::select! {
                    biased;
                    Some(Ok((location, done))) = runs.join_next() => {
                        match done {
                            Ok(()) => failures.succeeded(),
                            Err(error) => tell(name, Some(&location), &error, failures.failed(Instant::now())),
                        }
                        running.remove(&location);
                    }
                    _ = timer.tick() => {
                        if let Some(line) = failures.period_begins(Instant::now()) {
                            tracing::info!(task = name, "{line}");
                        }
                        match service.locations().await {
                            Ok(found) => locations = found,
                            Err(error) => tell(name, None, &error, failures.failed(Instant::now())),
                        }
                        for location in &locations {
                            if running.insert(location.clone()) {
                                let work = work(Arc::clone(&service), location.clone());
                                runs.spawn(run(Arc::clone(&permits), location.clone(), work));
                            }
                        }
                    }
                }
            }
        });
    }

    /// Ends all tasks, wherever they are: others, or the next start, go on from there.
    pub async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

/// Logs a failure: at warn if there is a line for it.
fn tell(task: &'static str, location: Option<&Location>, error: &Error, line: Option<String>) {
    let (location, cause) = (location.map(Location::as_str), chain(error));
    match line {
        Some(line) => tracing::warn!(task, location, cause, "{line}"),
        None => tracing::debug!(task, location, cause, "a run failed"),
    }
}

/// Runs once for one location, when there is a permit. Answers the location and what became of it.
async fn run(
    permits: Arc<Semaphore>,
    location: Location,
    work: impl Future<Output = Result<(), Error>>,
) -> (Location, Result<(), Error>) {
    // The semaphore is never closed.
    let _permit = permits.acquire().await;
    // A panic ends this run only; the panic hook has logged it.
    let done = AssertUnwindSafe(work).catch_unwind().await;
    (location, done.unwrap_or(Ok(())))
}
