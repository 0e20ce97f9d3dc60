//! Why a use case did not do what it was asked, and whether something may have been done.

use crate::domain::Refusal;
use crate::holds::HoldsError;
use crate::ledger::LedgerError;

/// Why a use case did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A business "no".
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// A store is away; nothing was done.
    #[error("a store is away")]
    Unavailable(#[source] Cause),
    /// The call has begun; its outcome is not known yet.
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
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// The holds' store.
    #[error(transparent)]
    Holds(HoldsError),
    /// The ledger.
    #[error(transparent)]
    Ledger(LedgerError),
    /// Neither: a state that must not occur, in words.
    #[error("{0}")]
    Broken(String),
}

impl Error {
    /// The same error after the call has begun, when "nothing was done" would be wrong.
    pub(super) fn once_begun(self) -> Self {
        match self {
            Error::Unavailable(cause) => Error::OutcomeUnknown(cause),
            Error::Overloaded => Error::OutcomeUnknown(Cause::Ledger(LedgerError::Overloaded)),
            error @ (Error::Refused(_) | Error::OutcomeUnknown(_) | Error::Internal(_)) => error,
        }
    }

    pub(super) fn broken(what: impl Into<String>) -> Self {
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
