//! The ledger's database in MySQL (MySQL 8, MariaDB) or SQLite, through sea-orm. The only place that knows SQL.

mod claim;
mod dialect;
mod entity;
mod failure;
mod insert;
mod lease;
mod migrate;
mod open;
mod packet;
mod pool;
mod query;
mod select;
mod transaction;
mod writable;
mod write_probe;

use std::collections::BTreeMap;

use async_trait::async_trait;
use sea_orm::DatabaseConnection;

use self::dialect::Dialect;
use self::open::unsuitable_if_unwritable;
use self::pool::Pool;
use self::transaction::SqlTransaction;
use self::writable::Writable;
use self::write_probe::WriteProbe;
use super::database::{Book, Capacity, Database, Facts, Reads, Transaction};
use super::error::LedgerError;
use crate::domain::{Location, ReservationId, Settlement, Sku, StockRow};

pub use self::claim::Claim;

/// A MySQL or SQLite database.
pub(super) struct SqlDatabase {
    pool: Pool,
    writable: Writable,
    write_probe: WriteProbe,
    connections_max: u32,
}

impl SqlDatabase {
    /// Connects, or says within seconds why not.
    pub(super) async fn open(url: &str, connections_max: u32) -> Result<Self, LedgerError> {
        let pool = Pool::open(url, connections_max).await?;
        Ok(Self { pool, writable: Writable::default(), write_probe: WriteProbe::default(), connections_max })
    }

    fn dialect(&self) -> Dialect {
        self.pool.dialect()
    }

    /// Runs what needs a connection.
    async fn with<T, F>(&self, work: impl FnOnce(DatabaseConnection) -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        self.pool.with(work).await
    }
}

#[async_trait]
impl Database for SqlDatabase {
    async fn begin(&self, location: &Location, reads: Reads<'_>) -> Result<(Facts, Box<dyn Transaction>), LedgerError> {
        let (dialect, writable) = (self.dialect(), &self.writable);
        let begin = |db| async move { SqlTransaction::begin(&db, dialect, location, &reads, writable).await };
        let (facts, transaction) = self.with(begin).await?;
        Ok((facts, Box::new(transaction)))
    }

    async fn rows(&self, location: &Location, skus: &[Sku]) -> Result<BTreeMap<Sku, StockRow>, LedgerError> {
        self.with(|db| async move { query::rows(&db, self.dialect(), location, skus).await }).await
    }

    async fn settlements(
        &self,
        location: &Location,
        ids: &[ReservationId],
    ) -> Result<BTreeMap<ReservationId, Settlement>, LedgerError> {
        self.with(|db| async move { query::settlements(&db, self.dialect(), location, ids).await }).await
    }

    async fn list_rows(
        &self,
        location: &Location,
        after: Option<&Sku>,
        limit: u64,
    ) -> Result<Vec<(Sku, StockRow)>, LedgerError> {
        self.with(|db| query::list_rows(db, location, after, limit)).await
    }

    async fn rows_changed(
        &self,
        location: &Location,
        after: (i64, Option<&Sku>),
        limit: u64,
    ) -> Result<Vec<(Sku, StockRow)>, LedgerError> {
        self.with(|db| query::rows_changed(db, location, after, limit)).await
    }

    async fn locations(&self) -> Result<Vec<Location>, LedgerError> {
        self.with(query::locations).await
    }

    async fn books(&self, location: &Location, after: Option<&Sku>, last: &Sku) -> Result<Vec<Book>, LedgerError> {
        let Some(session) = lease::of_books(&self.pool).await? else {
            return self.with(|db| async move { query::books(&db, self.dialect(), location, after, last).await }).await;
        };
        let books = query::books(&session, self.dialect(), location, after, last).await;
        session.close().await?;
        books
    }

    async fn now_micros(&self) -> Result<i64, LedgerError> {
        self.with(|db| async move { Ok(query::now_micros(&db, self.dialect()).await?) }).await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        if self.writable.is_proved() {
            return Ok(self.pool.db().ping().await?);
        }
        self.write_probe.prove(&self.pool, &self.writable).await
    }

    async fn migrate(&self) -> Result<usize, LedgerError> {
        let migrated = async {
            let applied = migrate::migrate(&self.pool).await?;
            // SQLite has no other writer that could make the file writable later. A MySQL server that is read-only now
            // may be the primary soon, and Redis serves meanwhile.
            if self.dialect() == Dialect::Sqlite {
                self.write_probe.prove(&self.pool, &self.writable).await?;
            }
            Ok(applied)
        };
        migrated.await.map_err(unsuitable_if_unwritable)
    }

    async fn about(&self) -> Result<String, LedgerError> {
        Ok(self.dialect().about(&self.pool.db()).await?)
    }

    async fn durability_warnings(&self) -> Result<Vec<String>, LedgerError> {
        Ok(self.dialect().durability_warnings(&self.pool.db()).await?)
    }

    async fn close(&self) -> Result<(), LedgerError> {
        Ok(self.pool.db().close_by_ref().await?)
    }

    fn capacity(&self) -> Capacity {
        let (queues, batches_at_once) = (self.dialect().queues(), self.dialect().batches_at_once(self.connections_max));
        let others = (self.connections_max as usize).saturating_sub(queues * batches_at_once).max(1);
        Capacity { queues, batches_at_once, others }
    }
}
