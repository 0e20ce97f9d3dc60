//! The tables: what is committed, or what one transaction has written.

use std::collections::BTreeMap;

use stockhold::domain::{Location, RequestId, ReservationId, Settlement, Sku, StockRow};
use stockhold::ledger::database::{Book, Moved};

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
    pub(super) fingerprint: String,
}

impl Tables {
    pub(super) fn take(&mut self, other: &Tables) {
        self.stock.extend(other.stock.clone());
        self.settlements.extend(other.settlements.clone());
        self.deductions.extend(other.deductions.clone());
        self.movements.extend(other.movements.clone());
    }

    pub(crate) fn rows(&self, location: &Location) -> impl Iterator<Item = (&Sku, &StockRow)> {
        self.stock.iter().filter(move |((l, _), _)| l == location).map(|((_, sku), row)| (sku, row))
    }

    pub(super) fn rows_of(&self, location: &Location, skus: &[Sku]) -> BTreeMap<Sku, StockRow> {
        let row = |sku: &Sku| Some((sku.clone(), *self.stock.get(&(location.clone(), sku.clone()))?));
        skus.iter().filter_map(row).collect()
    }

    pub(super) fn settlements_of(
        &self,
        location: &Location,
        ids: &[ReservationId],
    ) -> BTreeMap<ReservationId, Settlement> {
        let settled =
            |id: &ReservationId| Some((id.clone(), self.settlements.get(&(location.clone(), id.clone()))?.clone()));
        ids.iter().filter_map(settled).collect()
    }

    pub(super) fn change_made(&self, location: &Location, request_id: &RequestId) -> Option<String> {
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
