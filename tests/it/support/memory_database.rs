//! The ledger's database in memory, with the locks and the visibility of InnoDB at READ COMMITTED, under a weather that
//! decides what fails: what the simulation runs over. Its calm form passes the ledger's contract tests like MySQL and
//! SQLite.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use stockhold::domain::{Location, RequestId, ReservationId, Settlement, Sku, StockRow};
use stockhold::ledger::database::{
    Ask, Capacity, ChangeMade, Database, DatabaseError, Facts, Failure, Transaction, Writes,
};
use stockhold::ledger::{Book, LedgerError, Moved};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

/// As the ledger sets it for MySQL.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// As the ledger sets it for MySQL: for so long the server keeps what a client has locked that says nothing.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a database may do to those who use it.
#[async_trait]
pub(crate) trait Weather: Send + Sync + 'static {
    /// Before a connection is had.
    async fn connect(&self) -> Result<(), LedgerError>;

    /// Before a statement is executed. It may never return.
    async fn statement(&self) -> Result<(), LedgerError>;

    /// What becomes of a commit.
    fn commit(&self) -> CommitFate;

    /// The database's clock.
    fn now_micros(&self) -> i64;
}

/// What becomes of a commit.
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

/// The tables and their locks: what all connections share.
#[derive(Default)]
pub(crate) struct Server(Mutex<State>);

#[derive(Default)]
struct State {
    tables: Tables,
    locks: BTreeMap<Key, u64>,
    /// Transactions that were not committed nor rolled back, and whose they are.
    open: BTreeMap<u64, usize>,
    last_transaction: u64,
}

/// What is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) stock: BTreeMap<(Location, Sku), StockRow>,
    pub(crate) settlements: BTreeMap<(Location, ReservationId), Settlement>,
    pub(crate) deductions: BTreeMap<(Location, ReservationId, Sku), Deduction>,
    pub(crate) movements: BTreeMap<(Location, RequestId, usize), Movement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deduction {
    pub(crate) quantity: u32,
    /// The version that the row got.
    pub(crate) version: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Movement {
    pub(crate) moved: Moved,
    fingerprint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Stock(Location, Sku),
    Settlement(Location, ReservationId),
    Movement(Location, RequestId),
}

impl Server {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is committed.
    pub(crate) fn tables(&self) -> Tables {
        self.state().tables.clone()
    }

    /// Looks at what is committed.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Tables) -> T) -> T {
        at(&self.state().tables)
    }

    /// The server finds that a client is gone: its transactions are rolled back.
    pub(crate) fn roll_back_all_of(&self, client: usize) {
        let mut state = self.state();
        let gone: Vec<_> = state.open.iter().filter(|(_, of)| **of == client).map(|(number, _)| *number).collect();
        gone.into_iter().for_each(|number| state.end(number));
    }

    fn commit(&self, number: u64, own: &Tables) -> bool {
        let mut state = self.state();
        let is_open = state.open.contains_key(&number);
        if is_open {
            state.tables.take(own);
            state.end(number);
        }
        is_open
    }
}

impl State {
    fn end(&mut self, number: u64) {
        self.open.remove(&number);
        self.locks.retain(|_, of| *of != number);
    }
}

impl Tables {
    fn take(&mut self, other: &Tables) {
        self.stock.extend(other.stock.clone());
        self.settlements.extend(other.settlements.clone());
        self.deductions.extend(other.deductions.clone());
        self.movements.extend(other.movements.clone());
    }

    pub(crate) fn rows(&self, location: &Location) -> impl Iterator<Item = (&Sku, &StockRow)> {
        self.stock.iter().filter(move |((l, _), _)| l == location).map(|((_, sku), row)| (sku, row))
    }

    fn rows_of(&self, location: &Location, skus: &[Sku]) -> BTreeMap<Sku, StockRow> {
        let row = |sku: &Sku| Some((sku.clone(), *self.stock.get(&(location.clone(), sku.clone()))?));
        skus.iter().filter_map(row).collect()
    }

    fn settlements_of(&self, location: &Location, ids: &[ReservationId]) -> BTreeMap<ReservationId, Settlement> {
        let settled =
            |id: &ReservationId| Some((id.clone(), self.settlements.get(&(location.clone(), id.clone()))?.clone()));
        ids.iter().filter_map(settled).collect()
    }

    fn change_made(&self, location: &Location, request_id: &RequestId) -> Option<String> {
        let first = (location.clone(), request_id.clone(), 0);
        self.movements.get(&first).map(|movement| movement.fingerprint.clone())
    }

    /// How many units were sold.
    pub(crate) fn deducted(&self, location: &Location, sku: &Sku) -> i64 {
        let of_sku = self.deductions.iter().filter(|((l, _, s), _)| l == location && s == sku);
        of_sku.map(|(_, deduction)| i64::from(deduction.quantity)).sum()
    }

    pub(crate) fn book(&self, location: &Location, sku: &Sku) -> Book {
        let moved = self.movements.iter().filter(|((l, ..), _)| l == location).map(|(_, movement)| &movement.moved);
        Book {
            sku: sku.clone(),
            on_hand: self.stock.get(&(location.clone(), sku.clone())).map_or(0, |row| row.on_hand),
            moved: moved.filter(|moved| moved.sku == *sku).map(|moved| moved.delta).sum(),
            deducted: self.deducted(location, sku),
        }
    }
}

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
    async fn begin(&self, location: &Location, ask: Ask<'_>) -> Result<(Facts, Box<dyn Transaction>), LedgerError> {
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
            is_asked: false,
        };
        let facts = transaction.answer(ask).await?;
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

struct MemoryTransaction {
    server: Arc<Server>,
    weather: Arc<dyn Weather>,
    number: u64,
    location: Location,
    /// What it wrote.
    own: Tables,
    /// Committed, or left to the server.
    is_over: bool,
    /// A packet is under way: who leaves now cannot tell the server.
    is_asked: bool,
}

impl Drop for MemoryTransaction {
    fn drop(&mut self) {
        let (server, number) = (Arc::clone(&self.server), self.number);
        match Handle::try_current() {
            _ if self.is_over => {}
            Ok(runtime) if self.is_asked => drop(runtime.spawn(async move {
                sleep(WAIT_TIMEOUT).await;
                server.state().end(number);
            })),
            _ => server.state().end(number),
        }
    }
}

impl MemoryTransaction {
    /// Sends a packet of statements, which ends as soon as one of them fails.
    async fn ask(&mut self) -> Result<(), LedgerError> {
        self.is_asked = true;
        match self.weather.statement().await {
            Ok(()) => Ok(()),
            Err(error) => self.fail(error),
        }
    }

    fn fail<T>(&mut self, error: LedgerError) -> Result<T, LedgerError> {
        self.is_asked = false;
        Err(error)
    }

    async fn answer(&mut self, ask: Ask<'_>) -> Result<Facts, LedgerError> {
        self.ask().await?;
        let location = self.location.clone();
        let skus: Vec<_> = ask.skus.into_iter().cloned().collect();
        let existing: Vec<_> = self.server.look(|tables| tables.rows_of(&location, &skus)).into_keys().collect();
        for sku in &existing {
            self.lock(Key::Stock(location.clone(), sku.clone())).await?;
        }
        let ids: Vec<_> = ask.reservations.into_iter().cloned().collect();
        let now_micros = self.weather.now_micros();
        let facts = self.server.look(|tables| Facts {
            now_micros,
            rows: tables.rows_of(&location, &existing),
            settled: tables.settlements_of(&location, &ids),
            change_made: ask.change.and_then(|request_id| tables.change_made(&location, request_id)),
        });
        self.is_asked = false;
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
            // Whose connection was given up is told so when it commits.
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
        self.ask().await?;
        self.insert_settlements(&writes).await?;
        self.insert_rows(&writes.new_rows).await?;
        self.update_rows(&writes.changed_rows);
        if let Some(change) = &writes.change {
            self.insert_movements(change).await?;
        }
        self.is_asked = false;
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

/// An error of a database that is not well.
pub(crate) fn failed(failure: Failure, what: &str) -> LedgerError {
    DatabaseError::new(failure, what).into()
}

/// No clouds: for the contract tests.
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
