//! The server: the tables, the locks, and the transactions that are open.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stockhold::domain::{Location, RequestId, ReservationId, Sku};

use super::tables::Tables;

/// The tables and their locks: what all connections share.
#[derive(Default)]
pub(crate) struct Server(Mutex<State>);

#[derive(Default)]
pub(super) struct State {
    pub(super) tables: Tables,
    pub(super) locks: BTreeMap<Key, u64>,
    /// Open transactions, each with its client.
    pub(super) open: BTreeMap<u64, usize>,
    pub(super) last_transaction: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Stock(Location, Sku),
    Settlement(Location, ReservationId),
    Movement(Location, RequestId),
}

impl Server {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
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

    pub(super) fn commit(&self, number: u64, own: &Tables) -> bool {
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
    pub(super) fn end(&mut self, number: u64) {
        self.open.remove(&number);
        self.locks.retain(|_, of| *of != number);
    }
}
