//! Permits for what callers make this process hold: so many in all, shared between connections.
//!
//! A connection may hold at most as many as are free. One that is alone gets half of them. As calls end, `n` greedy
//! connections come to one each of `n + 1` equal parts. The last part stays free, so a newcomer finds some permits
//! however many crowd. Network switches share their buffers by this rule. It needs no setting for a share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::peer::Peer;

/// All permits of one kind. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Permits(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    peer_max: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Of the connections that hold any.
    held: HashMap<Peer, usize>,
}

impl Permits {
    /// So many in all.
    pub(super) fn new(permits_max: usize) -> Self {
        Self::with_peer_max(permits_max, usize::MAX)
    }

    /// So many in all, and never more than `peer_max` for one connection.
    pub(super) fn with_peer_max(permits_max: usize, peer_max: usize) -> Self {
        Self(Arc::new(Pool { peer_max, state: Mutex::new(State { free: permits_max, held: HashMap::new() }) }))
    }

    /// Takes `amount` of them for a connection, if that is within its share.
    pub(super) fn take(&self, peer: Peer, amount: usize) -> Option<Permit> {
        let mut permit = Permit { pool: Arc::clone(&self.0), peer, amount: 0, overdrawn: 0 };
        permit.raise_to(amount).then_some(permit)
    }
}

impl Pool {
    /// Nothing that can panic is done under the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn give_back(&mut self, peer: Peer, amount: usize, overdrawn: usize) {
        self.free += amount;
        if let Some(held) = self.held.get_mut(&peer) {
            *held -= amount + overdrawn;
            if *held == 0 {
                self.held.remove(&peer);
            }
        }
    }
}

/// Some permits, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    pool: Arc<Pool>,
    peer: Peer,
    amount: usize,
    overdrawn: usize,
}

impl Permit {
    /// Takes as many more as make `amount` in all. False, and nothing is taken, if that is beyond the connection's
    /// share.
    pub(super) fn raise_to(&mut self, amount: usize) -> bool {
        let Some(more @ 1..) = amount.checked_sub(self.amount) else { return true };
        let mut state = self.pool.state();
        let held = state.held.get(&self.peer).copied().unwrap_or_default() + more;
        let is_within = held <= self.pool.peer_max.min(state.free);
        if is_within {
            state.free -= more;
            state.held.insert(self.peer, held);
            self.amount = amount;
        }
        is_within
    }

    /// As [`Permit::raise_to`], for what is there already and cannot be refused. It counts against the share of this
    /// connection alone, and takes nothing away from others.
    pub(super) fn overdraw_to(&mut self, amount: usize) {
        let Some(more @ 1..) = amount.checked_sub(self.amount + self.overdrawn) else { return };
        *self.pool.state().held.entry(self.peer).or_default() += more;
        self.overdrawn += more;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.amount + self.overdrawn > 0 {
            self.pool.state().give_back(self.peer, self.amount, self.overdrawn);
        }
    }
}

#[cfg(test)]
mod tests;
