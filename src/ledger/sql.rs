//! The ledger's database in MySQL (MySQL 8, MariaDB) or SQLite, through sea-orm. The only place that knows SQL.

mod dialect;
mod entity;
mod migrate;
mod pool;
mod query;
mod sizes;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};

use self::dialect::{Dialect, failure};
use self::entity::{deduction, movement, settlement, stock};
use self::pool::Pool;
use super::change::Moved;
use super::database::{Capacity, Database, DatabaseError, Transaction};
use super::{Book, LedgerError};
use crate::domain::{Location, RequestId, ReservationId, Settlement, Sku, StockRow};

/// A MySQL or SQLite database.
pub(super) struct SqlDatabase {
    pool: Pool,
    connections_max: u32,
}

impl SqlDatabase {
    /// Connects, or says within seconds why not.
    pub(super) async fn open(url: &str, connections_max: u32) -> Result<Self, LedgerError> {
        Ok(Self { pool: Pool::open(url, connections_max).await?, connections_max })
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
    async fn begin(&self) -> Result<Box<dyn Transaction>, LedgerError> {
        let transaction = self.with(|db| async move { Ok(tables::begin(&db).await?) }).await?;
        Ok(Box::new(SqlTransaction { transaction, dialect: self.dialect() }))
    }

    async fn rows(&self, location: &Location, skus: &[Sku]) -> Result<BTreeMap<Sku, StockRow>, LedgerError> {
        self.with(|db| async move { tables::stock(&db, location, skus).await }).await
    }

    async fn settlements(
        &self,
        location: &Location,
        ids: &[ReservationId],
    ) -> Result<BTreeMap<ReservationId, Settlement>, LedgerError> {
        self.with(|db| async move { tables::settlements(&db, location, ids).await }).await
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

    async fn books(&self, location: &Location, skus: &[Sku]) -> Result<Vec<Book>, LedgerError> {
        self.with(|db| async move { query::books(&db, self.dialect(), location, skus).await }).await
    }

    async fn now_micros(&self) -> Result<i64, LedgerError> {
        self.with(|db| async move { Ok(tables::now_micros(&db, self.dialect()).await?) }).await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        Ok(self.pool.db().ping().await?)
    }

    async fn migrate(&self) -> Result<usize, LedgerError> {
        migrate::migrate(&self.pool).await
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

struct SqlTransaction {
    transaction: DatabaseTransaction,
    dialect: Dialect,
}

#[async_trait]
impl Transaction for SqlTransaction {
    async fn lock_rows(&mut self, location: &Location, skus: &[Sku]) -> Result<BTreeMap<Sku, StockRow>, LedgerError> {
        tables::lock_stock(&self.transaction, location, skus).await
    }

    async fn rows(&mut self, location: &Location, skus: &[Sku]) -> Result<BTreeMap<Sku, StockRow>, LedgerError> {
        tables::stock(&self.transaction, location, skus).await
    }

    async fn settlements(
        &mut self,
        location: &Location,
        ids: &[ReservationId],
    ) -> Result<BTreeMap<ReservationId, Settlement>, LedgerError> {
        tables::settlements(&self.transaction, location, ids).await
    }

    async fn change_made(
        &mut self,
        location: &Location,
        request_id: &RequestId,
    ) -> Result<Option<String>, LedgerError> {
        tables::change_made(&self.transaction, location, request_id).await
    }

    async fn now_micros(&mut self) -> Result<i64, LedgerError> {
        Ok(tables::now_micros(&self.transaction, self.dialect).await?)
    }

    async fn insert_settlements(
        &mut self,
        location: &Location,
        settlements: &[&Settlement],
        rows: &BTreeMap<Sku, StockRow>,
    ) -> Result<(), LedgerError> {
        let settled = settlements.iter().map(|settlement| settlement::Model::new(location, settlement));
        tables::insert::<_, settlement::Entity>(&self.transaction, settled.collect()).await?;
        let deducted = settlements.iter().flat_map(|settlement| {
            settlement.lines.iter().map(|line| deduction::Model {
                location: location.as_str().into(),
                reservation_id: settlement.id.as_str().into(),
                sku: line.sku.as_str().into(),
                quantity: line.quantity.into(),
                version: rows.get(&line.sku).map_or(0, |row| row.version),
            })
        });
        Ok(tables::insert::<_, deduction::Entity>(&self.transaction, deducted.collect()).await?)
    }

    async fn insert_rows(&mut self, location: &Location, rows: &[(&Sku, &StockRow)]) -> Result<(), LedgerError> {
        Ok(tables::insert::<_, stock::Entity>(&self.transaction, models(location, rows)).await?)
    }

    async fn update_rows(&mut self, location: &Location, rows: &[(&Sku, &StockRow)]) -> Result<(), LedgerError> {
        Ok(tables::update_stock(&self.transaction, models(location, rows)).await?)
    }

    async fn insert_movements(
        &mut self,
        location: &Location,
        request_id: &RequestId,
        fingerprint: &str,
        reason: &str,
        moved: &[Moved],
    ) -> Result<(), LedgerError> {
        let movements = moved.iter().zip(0..).map(|(moved, position)| movement::Model {
            location: location.as_str().into(),
            request_id: request_id.as_str().into(),
            position,
            sku: moved.sku.as_str().into(),
            delta: moved.delta,
            reason: reason.into(),
            on_hand: moved.row.on_hand,
            version: moved.row.version,
            fingerprint: fingerprint.into(),
        });
        Ok(tables::insert::<_, movement::Entity>(&self.transaction, movements.collect()).await?)
    }

    async fn commit(self: Box<Self>) -> Result<(), LedgerError> {
        Ok(self.transaction.commit().await?)
    }
}

fn models(location: &Location, rows: &[(&Sku, &StockRow)]) -> Vec<stock::Model> {
    rows.iter().map(|(sku, row)| stock::Model::new(location, sku, row)).collect()
}

impl From<DbErr> for LedgerError {
    fn from(error: DbErr) -> Self {
        LedgerError::Unavailable(DatabaseError { failure: failure(&error), cause: Arc::new(error) })
    }
}
