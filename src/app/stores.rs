//! Opens the stores when the service starts. A store that is away is waited for; one that cannot be used is an error at
//! once, because waiting does not help.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::AppError;
use crate::config::Config;
use crate::holds::HoldsError;
use crate::holds::redis::RedisHolds;
use crate::ledger::{Ledger, LedgerError};
use crate::telemetry::chain;

/// The time between two attempts.
const ATTEMPT_EVERY: Duration = Duration::from_millis(500);

/// How often a start that waits logs which store it waits for.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Opens both within the start timeout, and warns of settings that weaken a promise.
pub(super) async fn open(config: &Config) -> Result<(Ledger, Option<Arc<RedisHolds>>), AppError> {
    let timeout = config.start_timeout;
    let database = Opening { store: config.database_name(), flag: "--database-url", timeout };
    let deadline = Instant::now() + timeout;
    let ledger = database.within(deadline, LedgerError::is_away, async || {
        let ledger = Ledger::connect(&config.ledger).await?;
        ledger.migrate().await?;
        let (about, warnings) = (ledger.about().await?, ledger.durability_warnings().await?);
        Ok((ledger, about, warnings))
    });
    let (ledger, about, warnings) = ledger.await?;
    tracing::info!("the ledger is in {}: {about}", database.store);
    warnings.iter().for_each(|warning| tracing::warn!("database: {warning}"));

    let Some((redis, name)) = config.redis.as_ref().zip(config.redis_name()) else {
        tracing::info!("holds are in this process: one instance only, and they do not survive a restart");
        return Ok((ledger, None));
    };
    let opening = Opening { store: name, flag: "--redis-url", timeout };
    let redis = opening.within(deadline, HoldsError::is_away, async || RedisHolds::connect(redis).await).await?;
    tracing::info!("holds are in {}: {}", opening.store, redis.about());
    redis.warnings().iter().for_each(|warning| tracing::warn!("Redis: {warning}"));
    Ok((ledger, Some(Arc::new(redis))))
}

/// A store that is being opened.
struct Opening {
    /// Which, without secrets.
    store: String,
    /// The flag that says where it is.
    flag: &'static str,
    timeout: Duration,
}

impl Opening {
    /// Tries again until it succeeds, as long as the store is away.
    async fn within<T, E: Error + 'static>(
        &self,
        deadline: Instant,
        is_away: impl Fn(&E) -> bool,
        mut attempt: impl AsyncFnMut() -> Result<T, E>,
    ) -> Result<T, AppError> {
        let mut told: Option<Instant> = None;
        loop {
            let error = match attempt().await {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            let (store, cause) = (self.store.clone(), chain(&error));
            if !is_away(&error) {
                return Err(AppError::Unusable { store, cause });
            }
            if Instant::now() + ATTEMPT_EVERY > deadline {
                return Err(AppError::Away { store, cause, timeout: self.timeout, flag: self.flag });
            }
            if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                tracing::warn!("waiting for {store}: {cause}");
                told = Some(Instant::now());
            }
            sleep(ATTEMPT_EVERY).await;
        }
    }
}
