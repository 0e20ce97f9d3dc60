//! The ledger's database in memory, with the locks and the visibility of InnoDB at READ COMMITTED. The simulation runs
//! over it. A `Weather` decides what fails. With `Calm`, which lets nothing fail, it passes the ledger's contract tests
//! as MySQL and SQLite do.

mod server;
mod tables;
mod transaction;
mod weather;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use stockhold::domain::{Location, ReservationId, Settlement, Sku, StockRow};
use stockhold::ledger::database::{Book, Capacity, Database, Facts, Reads, Transaction};
use stockhold::ledger::{DatabaseError, Failure, LedgerError};

use transaction::MemoryTransaction;

pub(crate) use server::Server;
pub(crate) use tables::Tables;
pub(crate) use weather::{Calm, CommitFate, Weather};

/// How long the server keeps the locks of a silent client, as the ledger sets it for MySQL.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// One client's view of a [`Server`].
pub(crate) struct MemoryDatabase {
    server: Arc<Server>,
    client: usize,
    weather: Arc<dyn Weather>,
}

impl MemoryDatabase {
    pub(crate) fn new(server: Arc<Server>, client: usize, weather: Arc<dyn Weather>) -> Self {
        Self { server, client, weather }
    }

    async fn read<T>(&self, what: impl FnOnce(&Tables) -> T) -> Result<T, LedgerError> {
        self.weather.connect().await?;
        self.weather.statement().await?;
        Ok(self.server.look(what))
    }
}

#[async_trait]
impl Database for MemoryDatabase {
    async fn begin(&self, location: &Location, reads: Reads<'_>) -> Result<(Facts, Box<dyn Transaction>), LedgerError> {
        self.weather.connect().await?;
        let number = {
            let mut state = self.server.state();
            state.last_transaction += 1;
            let number = state.last_transaction;
            state.open.insert(number, self.client);
            number
        };
        let (server, weather) = (Arc::clone(&self.server), Arc::clone(&self.weather));
        let mut transaction = MemoryTransaction {
            server,
            weather,
            number,
            location: location.clone(),
            own: Tables::default(),
            is_over: false,
            is_under_way: false,
        };
        let facts = transaction.answer(reads).await?;
        Ok((facts, Box::new(transaction)))
    }

    async fn rows(&self, location: &Location, skus: &[Sku]) -> Result<BTreeMap<Sku, StockRow>, LedgerError> {
        self.read(|tables| tables.rows_of(location, skus)).await
    }

    async fn settlements(
        &self,
        location: &Location,
        ids: &[ReservationId],
    ) -> Result<BTreeMap<ReservationId, Settlement>, LedgerError> {
        self.read(|tables| tables.settlements_of(location, ids)).await
    }

    async fn list_rows(
        &self,
        location: &Location,
        after: Option<&Sku>,
        limit: u64,
    ) -> Result<Vec<(Sku, StockRow)>, LedgerError> {
        let page = |tables: &Tables| {
            let later = tables.rows(location).filter(|(sku, _)| after.is_none_or(|after| *sku > after));
            later.take(limit as usize).map(|(sku, row)| (sku.clone(), *row)).collect()
        };
        self.read(page).await
    }

    async fn rows_changed(
        &self,
        location: &Location,
        (version, sku): (i64, Option<&Sku>),
        limit: u64,
    ) -> Result<Vec<(Sku, StockRow)>, LedgerError> {
        let page = |tables: &Tables| {
            let is_later = |(s, row): &(&Sku, &StockRow)| {
                row.version > version || (row.version == version && sku.is_some_and(|sku| *s > sku))
            };
            let mut changed: Vec<_> =
                tables.rows(location).filter(is_later).map(|(s, row)| (s.clone(), *row)).collect();
            changed.sort_by(|(one, row), (other, other_row)| (row.version, one).cmp(&(other_row.version, other)));
            changed.truncate(limit as usize);
            changed
        };
        self.read(page).await
    }

    async fn locations(&self) -> Result<Vec<Location>, LedgerError> {
        let all = |tables: &Tables| {
            let locations: BTreeSet<_> = tables.stock.keys().map(|(location, _)| location.clone()).collect();
            locations.into_iter().collect()
        };
        self.read(all).await
    }

    async fn books(&self, location: &Location, after: Option<&Sku>, last: &Sku) -> Result<Vec<Book>, LedgerError> {
        let books = |tables: &Tables| {
            let asked = tables
                .rows(location)
                .map(|(sku, _)| sku)
                .filter(|sku| after.is_none_or(|after| *sku > after) && *sku <= last);
            asked.map(|sku| tables.book(location, sku)).collect()
        };
        self.read(books).await
    }

    async fn now_micros(&self) -> Result<i64, LedgerError> {
        self.read(|_| ()).await?;
        Ok(self.weather.now_micros())
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        self.read(|_| ()).await
    }

    async fn migrate(&self) -> Result<usize, LedgerError> {
        Ok(0)
    }

    async fn about(&self) -> Result<String, LedgerError> {
        Ok("memory".to_owned())
    }

    async fn durability_warnings(&self) -> Result<Vec<String>, LedgerError> {
        Ok(Vec::new())
    }

    async fn close(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    fn capacity(&self) -> Capacity {
        Capacity { queues: 2, batches_at_once: 2, others: 4 }
    }
}

/// An error of a database that fails.
pub(crate) fn failed(failure: Failure, what: &str) -> LedgerError {
    DatabaseError::new(failure, what).into()
}
