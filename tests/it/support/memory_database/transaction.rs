//! A transaction of the database in memory, with the locks and the visibility of InnoDB at READ COMMITTED.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use stockhold::domain::{Location, Sku, StockRow};
use stockhold::ledger::database::{ChangeMade, Facts, Reads, Transaction, Writes};
use stockhold::ledger::{Failure, LedgerError};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::server::{Key, Server};
use super::tables::{Deduction, Movement, Tables};
use super::weather::{CommitFate, Weather};
use super::{WAIT_TIMEOUT, failed};

/// As the ledger sets it for MySQL.
const LOCK_WAIT: Duration = Duration::from_secs(1);

pub(super) struct MemoryTransaction {
    pub(super) server: Arc<Server>,
    pub(super) weather: Arc<dyn Weather>,
    pub(super) number: u64,
    pub(super) location: Location,
    /// What it wrote.
    pub(super) own: Tables,
    /// Committed, or left to the server.
    pub(super) is_over: bool,
    /// A packet is under way. A client that leaves now cannot tell the server.
    pub(super) is_under_way: bool,
}

impl Drop for MemoryTransaction {
    fn drop(&mut self) {
        let (server, number) = (Arc::clone(&self.server), self.number);
        match Handle::try_current() {
            _ if self.is_over => {}
            Ok(runtime) if self.is_under_way => drop(runtime.spawn(async move {
                sleep(WAIT_TIMEOUT).await;
                server.state().end(number);
            })),
            _ => server.state().end(number),
        }
    }
}

impl MemoryTransaction {
    /// Sends a packet of statements. It ends with the first that fails.
    async fn send(&mut self) -> Result<(), LedgerError> {
        self.is_under_way = true;
        match self.weather.statement().await {
            Ok(()) => Ok(()),
            Err(error) => self.fail(error),
        }
    }

    fn fail<T>(&mut self, error: LedgerError) -> Result<T, LedgerError> {
        self.is_under_way = false;
        Err(error)
    }

    /// The answer to the first packet.
    pub(super) async fn answer(&mut self, reads: Reads<'_>) -> Result<Facts, LedgerError> {
        self.send().await?;
        let location = self.location.clone();
        let skus: Vec<_> = reads.skus.into_iter().cloned().collect();
        let existing: Vec<_> = self.server.look(|tables| tables.rows_of(&location, &skus)).into_keys().collect();
        for sku in &existing {
            self.lock(Key::Stock(location.clone(), sku.clone())).await?;
        }
        let ids: Vec<_> = reads.reservations.into_iter().cloned().collect();
        let now_micros = self.weather.now_micros();
        let facts = self.server.look(|tables| Facts {
            now_micros,
            rows: tables.rows_of(&location, &existing),
            settled: tables.settlements_of(&location, &ids),
            change_made: reads.change.and_then(|request_id| tables.change_made(&location, request_id)),
        });
        self.is_under_way = false;
        Ok(facts)
    }

    async fn lock(&mut self, key: Key) -> Result<(), LedgerError> {
        let until = Instant::now() + LOCK_WAIT;
        loop {
            let (is_open, is_mine) = {
                let mut state = self.server.state();
                let is_open = state.open.contains_key(&self.number);
                (is_open, is_open && *state.locks.entry(key.clone()).or_insert(self.number) == self.number)
            };
            if !is_open {
                return self.fail(failed(Failure::Connection, "the server gave this connection up"));
            }
            if is_mine {
                return Ok(());
            }
            if Instant::now() >= until {
                return self.fail(failed(Failure::Collision, "lock wait"));
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn insert_settlements(&mut self, writes: &Writes<'_>) -> Result<(), LedgerError> {
        for (id, settlement) in &writes.settlements {
            let key = (self.location.clone(), (*id).clone());
            self.lock(Key::Settlement(key.0.clone(), key.1.clone())).await?;
            if self.server.look(|tables| tables.settlements.contains_key(&key)) {
                return self.fail(failed(Failure::Duplicate, "duplicate settlement"));
            }
            for line in settlement.lines.iter() {
                let version = writes.changed_rows.get(&line.sku).expect("its row is changed").version;
                let deduction = Deduction { quantity: line.quantity, version };
                self.own.deductions.insert((key.0.clone(), key.1.clone(), line.sku.clone()), deduction);
            }
            self.own.settlements.insert(key, (*settlement).clone());
        }
        Ok(())
    }

    async fn insert_rows(&mut self, rows: &BTreeMap<&Sku, &StockRow>) -> Result<(), LedgerError> {
        for (sku, row) in rows {
            let key = (self.location.clone(), (*sku).clone());
            self.lock(Key::Stock(key.0.clone(), key.1.clone())).await?;
            if self.server.look(|tables| tables.stock.contains_key(&key)) {
                return self.fail(failed(Failure::Duplicate, "duplicate row"));
            }
            self.own.stock.insert(key, **row);
        }
        Ok(())
    }

    fn update_rows(&mut self, rows: &BTreeMap<&Sku, &StockRow>) {
        for (sku, row) in rows {
            let key = (self.location.clone(), (*sku).clone());
            assert!(self.server.look(|tables| tables.stock.contains_key(&key)), "{sku} is updated and not there");
            let lock = self.server.state().locks.get(&Key::Stock(key.0.clone(), key.1.clone())).copied();
            // A client whose connection was given up is told so when it commits.
            let is_mine = lock == Some(self.number) || !self.server.state().open.contains_key(&self.number);
            assert!(is_mine, "{sku} is updated and not locked");
            self.own.stock.insert(key, **row);
        }
    }

    async fn insert_movements(&mut self, change: &ChangeMade<'_>) -> Result<(), LedgerError> {
        let ChangeMade { request_id, fingerprint, moved, .. } = *change;
        if moved.is_empty() {
            return Ok(());
        }
        self.lock(Key::Movement(self.location.clone(), request_id.clone())).await?;
        if self.server.look(|tables| tables.change_made(&self.location, request_id).is_some()) {
            return self.fail(failed(Failure::Duplicate, "duplicate movement"));
        }
        for (position, moved) in moved.iter().enumerate() {
            let movement = Movement { moved: moved.clone(), fingerprint: fingerprint.into() };
            self.own.movements.insert((self.location.clone(), request_id.clone(), position), movement);
        }
        Ok(())
    }
}

#[async_trait]
impl Transaction for MemoryTransaction {
    async fn commit(mut self: Box<Self>, writes: Writes<'_>) -> Result<(), LedgerError> {
        self.send().await?;
        self.insert_settlements(&writes).await?;
        self.insert_rows(&writes.new_rows).await?;
        self.update_rows(&writes.changed_rows);
        if let Some(change) = &writes.change {
            self.insert_movements(change).await?;
        }
        self.is_under_way = false;
        let lost = || failed(Failure::Connection, "the connection was lost");
        match self.weather.commit() {
            CommitFate::Lost => Err(lost()),
            CommitFate::Late(after) => {
                self.is_over = true;
                let (server, number, own) = (Arc::clone(&self.server), self.number, std::mem::take(&mut self.own));
                tokio::spawn(async move {
                    sleep(after).await;
                    server.commit(number, &own);
                });
                Err(lost())
            }
            fate => {
                self.is_over = true;
                if !self.server.commit(self.number, &self.own) {
                    return Err(lost());
                }
                match fate {
                    CommitFate::Unheard => Err(lost()),
                    CommitFate::Silent => std::future::pending().await,
                    _ => Ok(()),
                }
            }
        }
    }
}
