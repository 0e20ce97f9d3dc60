//! Judges what people read while nothing happens but that time passes.
//!
//! A hold may lapse between a question and its answer. So an answer is not compared with what there is when it is
//! judged: it must be exactly right for one instant since the question was asked.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use stockhold::domain::{Location, Reservation, Sku, State, StockItem};

use super::invariants;
use super::world::World;

/// What there was in a location when a question was asked.
pub(crate) struct Asked<'a> {
    world: &'a World,
    location: &'a Location,
    at_ms: u64,
    /// The reservations that counted then. While it is quiet none is added and none changes; they can only lapse.
    live: Vec<Reservation>,
}

impl<'a> Asked<'a> {
    pub(crate) fn now(world: &'a World, location: &'a Location) -> Self {
        Self { world, location, at_ms: world.clock.now_ms(), live: invariants::live(world, location) }
    }

    /// `GetStock` reads all skus at one instant, so its answer as a whole must be right for one.
    pub(crate) fn told_stock(&self, skus: &[Sku], told: &[StockItem]) -> Result<(), String> {
        let truths: Vec<_> = self.instants_ms().into_iter().map(|now_ms| self.stock(skus, now_ms)).collect();
        if truths.iter().any(|truth| truth == told) {
            return Ok(());
        }
        Err(format!("stock is told as {told:?}; since it was asked for, the truth was one after the other {truths:?}"))
    }

    /// Whatever is listed in a page counted when that page was asked for.
    pub(crate) fn told_page(&self, told: &[Reservation]) -> Result<(), String> {
        match told.iter().find(|reservation| !self.live.contains(reservation)) {
            Some(other) => Err(format!("listed is {other:?}, live were {:?}", self.live)),
            None => Ok(()),
        }
    }

    /// Whatever counted from the first page to the last is listed.
    pub(crate) fn told_list(&self, told: &[Reservation]) -> Result<(), String> {
        let now_ms = self.world.clock.now_ms();
        let still_live = |reservation: &&Reservation| invariants::counts(reservation, now_ms);
        match self.live.iter().filter(still_live).find(|reservation| !told.contains(reservation)) {
            Some(missing) => Err(format!("not listed is {missing:?}; listed are {told:?}")),
            None => Ok(()),
        }
    }

    /// When the question was asked, and when a hold lapsed since.
    fn instants_ms(&self) -> BTreeSet<u64> {
        let now_ms = self.world.clock.now_ms();
        let held = self.live.iter().filter(|reservation| reservation.state == State::Held);
        let lapsed = held.filter_map(|reservation| reservation.expire_ms).filter(|expire_ms| *expire_ms <= now_ms);
        lapsed.chain([self.at_ms]).collect()
    }

    /// What was to be told of these skus at some instant.
    fn stock(&self, skus: &[Sku], now_ms: u64) -> Vec<StockItem> {
        let held = invariants::units(self.live.iter().filter(|reservation| invariants::counts(reservation, now_ms)));
        let item = |sku: &Sku| {
            let row = self.world.server.look(|tables| tables.stock.get(&(self.location.clone(), sku.clone())).copied());
            row.map(|row| StockItem { sku: sku.clone(), row, held: held.get(sku).copied().unwrap_or(0) })
        };
        skus.iter().filter_map(item).collect()
    }
}
