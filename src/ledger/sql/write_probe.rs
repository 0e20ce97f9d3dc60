//! Proves by a write that the database takes writes.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::pool::Pool;
use super::transaction::OpenTransaction;
use super::writable::Writable;
use crate::ledger::error::{DatabaseError, Failure, LedgerError};
use crate::ledger::repeat::{TRY_MAX, within};

/// One write at a time.
#[derive(Default)]
pub(super) struct WriteProbe {
    running: Arc<Mutex<()>>,
}

impl WriteProbe {
    /// Writes one row that means nothing. The write runs to its end even if the caller does not wait for it, and no
    /// second one begins meanwhile: a server whose commits hang would get one more hanging connection for every ping.
    pub(super) async fn prove(&self, pool: &Pool, writable: &Writable) -> Result<(), LedgerError> {
        let Ok(alone) = Arc::clone(&self.running).try_lock_owned() else {
            return Err(DatabaseError::new(Failure::Silence, "a write has not been answered yet").into());
        };
        let (pool, writable) = (pool.clone(), writable.clone());
        let probe = tokio::spawn(async move {
            let _alone = alone;
            within(TRY_MAX, write(&pool, &writable)).await
        });
        probe.await.unwrap_or_else(|panicked| {
            Err(DatabaseError::new(Failure::Silence, format!("the write was not answered: {panicked}")).into())
        })
    }
}

async fn write(pool: &Pool, writable: &Writable) -> Result<(), LedgerError> {
    let dialect = pool.dialect();
    let statements = [dialect.begin().to_owned(), dialect.write_probe(), "COMMIT".to_owned()];
    let write = |db| async move {
        let mut transaction = OpenTransaction::on(&db, dialect, writable).await?;
        transaction.run(&statements).await?;
        transaction.is_over();
        Ok(())
    };
    pool.with(write).await?;
    writable.proved();
    Ok(())
}
