//! What a database may do to its clients.

use std::time::Duration;

use async_trait::async_trait;
use stockhold::ledger::LedgerError;

/// Decides what fails.
#[async_trait]
pub(crate) trait Weather: Send + Sync + 'static {
    /// Before a connection is given out.
    async fn connect(&self) -> Result<(), LedgerError>;

    /// Before a statement is executed. It may never return.
    async fn statement(&self) -> Result<(), LedgerError>;

    /// Decides what happens to a commit.
    fn commit(&self) -> CommitFate;

    /// The database's clock.
    fn now_micros(&self) -> i64;
}

/// What happens to a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CommitFate {
    /// Committed, and the caller hears of it.
    Done,
    /// Not committed; the caller has an error.
    Lost,
    /// Committed; the caller has an error.
    Unheard,
    /// Committed; the caller hears nothing.
    Silent,
    /// The caller has an error; committed later, unless the server gave the connection up before.
    Late(Duration),
}

/// Nothing fails: for the contract tests.
pub(crate) struct Calm;

#[async_trait]
impl Weather for Calm {
    async fn connect(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn statement(&self) -> Result<(), LedgerError> {
        tokio::task::yield_now().await;
        Ok(())
    }

    fn commit(&self) -> CommitFate {
        CommitFate::Done
    }

    fn now_micros(&self) -> i64 {
        std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros() as i64)
    }
}
