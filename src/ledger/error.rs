//! Why the ledger did not answer, and what each failure of the database tells.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why the ledger did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// The queue is full; nothing was begun.
    #[error("the queue of the ledger is full")]
    Overloaded,
    /// The database must not be used as it is, in one sentence that says why and what to do.
    #[error("{0}")]
    Unsuitable(String),
    /// The database could not be reached, or kept failing. A write may have been committed.
    #[error("the database did not answer")]
    Unavailable(#[from] DatabaseError),
    /// The database holds something that this service never writes.
    #[error("the database holds what stockhold never writes: {0}")]
    Corrupt(String),
}

/// Why a database did not do what it was asked.
#[derive(Clone, Debug)]
pub struct DatabaseError {
    /// What kind of failure it is.
    pub failure: Failure,
    /// What the database or its driver says; this error says no more.
    pub cause: Arc<dyn Error + Send + Sync>,
}

/// What kind of failure an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Another transaction was in the way: deadlock, lock wait, busy.
    Collision,
    /// What was to be inserted exists already, or was inserted a moment ago.
    Duplicate,
    /// The connection was lost, or the server is going away; a new connection may help.
    Connection,
    /// There is no connection to be had; that was waited for already.
    NoConnection,
    /// No answer in time: the server may be away, or be asked too much.
    Silence,
    /// The database takes no writes: it is read-only, or its disk is full. A new connection may reach another server.
    Unwritable,
    /// The statement itself failed.
    Statement,
}

impl DatabaseError {
    /// An error in words.
    pub fn new(failure: Failure, what: impl Into<String>) -> Self {
        Self { failure, cause: Box::<dyn Error + Send + Sync>::from(what.into()).into() }
    }

    /// The error of a database that says nothing for this long.
    pub(super) fn silence(waited: Duration) -> Self {
        Self::new(Failure::Silence, format!("no answer within {} s", waited.as_secs()))
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for DatabaseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

impl LedgerError {
    /// Whether the database is away, so that it may answer later.
    pub fn is_away(&self) -> bool {
        let LedgerError::Unavailable(error) = self else { return false };
        matches!(error.failure, Failure::Connection | Failure::NoConnection | Failure::Silence)
    }

    /// The kind of the database's failure, if it is one.
    pub(super) fn failure(&self) -> Option<Failure> {
        match self {
            LedgerError::Unavailable(error) => Some(error.failure),
            LedgerError::Overloaded | LedgerError::Unsuitable(_) | LedgerError::Corrupt(_) => None,
        }
    }

    /// True if the same transaction may succeed when it is begun again at once.
    pub(super) fn may_pass(&self) -> bool {
        self.failure().is_some_and(|failure| match failure {
            Failure::Collision | Failure::Duplicate | Failure::Connection | Failure::Silence | Failure::Unwritable => {
                true
            }
            Failure::NoConnection | Failure::Statement => false,
        })
    }

    /// True if one of the intents of a batch may be the cause, so that it helps to halve the batch.
    pub(super) fn may_be_an_offence(&self) -> bool {
        match self.failure() {
            Some(Failure::Collision | Failure::Duplicate | Failure::Statement | Failure::Silence) => true,
            Some(Failure::Connection | Failure::NoConnection | Failure::Unwritable) => false,
            None => matches!(self, LedgerError::Corrupt(_)),
        }
    }

    /// Whether the next request would fail for the same reason, because the database is away or takes no writes; `None`
    /// if this error does not tell.
    pub(super) fn tells_absence(&self) -> Option<bool> {
        match self.failure() {
            Some(Failure::Connection | Failure::NoConnection | Failure::Unwritable) => Some(true),
            Some(Failure::Collision | Failure::Duplicate | Failure::Statement) => Some(false),
            Some(Failure::Silence) => None,
            None => matches!(self, LedgerError::Corrupt(_)).then_some(false),
        }
    }
}
