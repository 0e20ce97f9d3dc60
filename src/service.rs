//! The use cases: one file each. They carry the protocol between the holds' store and the ledger, and know neither gRPC
//! nor SQL nor Lua.
//!
//! A use case of several steps is not dropped by its caller: `grpc` runs it to its end. A crash may cut it at any await
//! point; what it leaves half done is finished by `recover`, with the same code.

mod cancel;
mod confirm;
mod extend;
mod final_word;
mod query;
pub mod reconcile;
mod recover;
mod reserve;
mod stock;
mod sync;

use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::domain::{Location, Refusal, Sku};
use crate::holds::batched::BatchedHolds;
use crate::holds::{Command, HoldsError, Reply};
use crate::ledger::{Ledger, LedgerError};

/// The bounds of a reservation's time.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The `ttl` of a Reserve that names none.
    pub ttl_default: Duration,
    /// The shortest `ttl`.
    pub ttl_min: Duration,
    /// The longest `ttl`.
    pub ttl_max: Duration,
    /// The longest that Extend may make a reservation last, from its creation.
    pub lifetime_max: Duration,
}

impl Limits {
    /// The `ttl`, if it is within its bounds, or what they are.
    pub fn check_ttl(&self, ttl: Duration) -> Result<Duration, String> {
        if (self.ttl_min..=self.ttl_max).contains(&ttl) {
            return Ok(ttl);
        }
        let [min, max] = [self.ttl_min, self.ttl_max].map(humantime::format_duration);
        Err(format!("must be {min} to {max}"))
    }
}

/// What Confirm and Extend do with a reservation that has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatePolicy {
    /// Refuse.
    Reject,
    /// Take the stock again, if it is still there.
    Reacquire,
}

/// Why a use case did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A business "no".
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// A store is away; nothing was done.
    #[error("a store is away")]
    Unavailable(#[source] Cause),
    /// Begun; what became of it is not known yet.
    #[error("the outcome is not known yet")]
    OutcomeUnknown(#[source] Cause),
    /// Too much load; nothing was done.
    #[error("too much load")]
    Overloaded,
    /// A bug, or a store that was tampered with.
    #[error("a bug")]
    Internal(#[source] Cause),
}

/// Which store failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The holds' store.
    #[error(transparent)]
    Holds(HoldsError),
    /// The ledger.
    #[error(transparent)]
    Ledger(LedgerError),
    /// Neither: something that cannot be, in words.
    #[error("{0}")]
    Broken(String),
}

impl Error {
    /// The same error once something was begun: then "nothing was done" would be a lie.
    fn once_begun(self) -> Self {
        match self {
            Error::Unavailable(cause) => Error::OutcomeUnknown(cause),
            Error::Overloaded => Error::OutcomeUnknown(Cause::Ledger(LedgerError::Overloaded)),
            error @ (Error::Refused(_) | Error::OutcomeUnknown(_) | Error::Internal(_)) => error,
        }
    }

    fn broken(what: impl Into<String>) -> Self {
        Error::Internal(Cause::Broken(what.into()))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Error::Refused(refusal)
    }
}

impl From<HoldsError> for Error {
    fn from(error: HoldsError) -> Self {
        match error {
            HoldsError::Overloaded => Error::Overloaded,
            HoldsError::Unavailable(_) | HoldsError::Full => Error::Unavailable(Cause::Holds(error)),
            HoldsError::OutcomeUnknown(_) => Error::OutcomeUnknown(Cause::Holds(error)),
            HoldsError::Unsuitable(_) | HoldsError::Corrupt(_) => Error::Internal(Cause::Holds(error)),
        }
    }
}

impl From<LedgerError> for Error {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Overloaded => Error::Overloaded,
            LedgerError::Unavailable(_) => Error::Unavailable(Cause::Ledger(error)),
            LedgerError::Unsuitable(_) | LedgerError::Corrupt(_) => Error::Internal(Cause::Ledger(error)),
        }
    }
}

/// How long a sku that the ledger does not have is remembered, so that callers who ask for it again and again do not
/// all ask the database. A sku that is created meanwhile is seen at once: creating it pushes its register, which is
/// looked at first.
const UNKNOWN_SKU_TTL: Duration = Duration::from_secs(3);

/// How many such skus are remembered.
const UNKNOWN_SKUS_MAX: u64 = 10_000;

/// How often one call repeats a command because overdue holds were in its way: enough for two million of one line each.
const RECLAIMS_MAX: usize = 10_000;

/// How often one call pushes registers. Once is enough, unless the store forgets them again at once.
const FILLS_MAX: usize = 5;

/// The use cases over one pair of stores.
pub struct Service {
    holds: BatchedHolds,
    ledger: Ledger,
    limits: Limits,
    /// Since when.
    unknown_skus: Cache<(Location, Sku), Instant>,
    /// What goes on when its caller has been answered.
    running: TaskTracker,
}

impl Service {
    /// The service over these stores.
    pub fn new(holds: BatchedHolds, ledger: Ledger, limits: Limits) -> Self {
        // The cache's own clock only throws away what is old.
        let unknown_skus = Cache::builder().max_capacity(UNKNOWN_SKUS_MAX).time_to_live(UNKNOWN_SKU_TTL).build();
        Self { holds, ledger, limits, unknown_skus, running: TaskTracker::new() }
    }

    /// The bounds of a reservation's time.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Waits for what goes on although its caller has been answered.
    pub async fn quiet(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Answers if the holds' store is there.
    pub async fn ping_holds(&self) -> Result<(), HoldsError> {
        self.holds.ping().await
    }

    /// Answers if the ledger is there.
    pub async fn ping_ledger(&self) -> Result<(), LedgerError> {
        self.ledger.ping().await
    }

    /// Applies one command.
    async fn apply(&self, location: &Location, command: Command) -> Result<Reply, Error> {
        Ok(self.holds.apply(location, command).await?)
    }

    /// Applies a command that may lack registers or find overdue holds in its way: fills and repeats, so that neither
    /// `Missing` nor `More` is ever answered.
    async fn apply_filling(&self, location: &Location, command: Command) -> Result<Reply, Error> {
        let (mut reclaims, mut fills) = (0, 0);
        while reclaims < RECLAIMS_MAX && fills < FILLS_MAX {
            match self.apply(location, command.clone()).await? {
                Reply::Missing(skus) => {
                    // It is rare, and would make every future that takes stock a large one.
                    Box::pin(self.fill(location, &skus)).await?;
                    fills += 1;
                }
                Reply::More => reclaims += 1,
                reply => return Ok(reply),
            }
        }
        Err(Error::Unavailable(Cause::Broken(
            "the holds' store cannot keep up with what expires or is asked for".into(),
        )))
    }

    /// Pushes the rows of skus whose registers are missing.
    async fn fill(&self, location: &Location, skus: &[Sku]) -> Result<(), Error> {
        let key = |sku: &Sku| (location.clone(), sku.clone());
        let is_unknown =
            |sku: &Sku| self.unknown_skus.get(&key(sku)).is_some_and(|since| since.elapsed() < UNKNOWN_SKU_TTL);
        let (mut unknown, asked): (Vec<_>, Vec<_>) = skus.iter().cloned().partition(is_unknown);
        let rows = self.ledger.rows(location, &asked).await?;
        for (sku, _) in rows.iter().filter(|(_, row)| row.is_none()) {
            self.unknown_skus.insert(key(sku), Instant::now());
            unknown.push(sku.clone());
        }
        if !unknown.is_empty() {
            unknown.sort();
            return Err(Refusal::UnknownSkus(unknown).into());
        }
        self.apply(location, Command::Push { rows }).await?;
        Ok(())
    }
}

/// The error of a reply to a command that takes stock, where it is no success; else of a reply that the command cannot
/// have.
fn refused(reply: Reply) -> Error {
    match reply {
        Reply::Short(shortages) => Refusal::InsufficientStock(shortages).into(),
        Reply::Retired(skus) => Refusal::RetiredSkus(skus).into(),
        reply => unexpected(&reply),
    }
}

/// A reply that the command cannot have.
fn unexpected(reply: &Reply) -> Error {
    Error::broken(format!("the holds' store answered {reply:?}"))
}
