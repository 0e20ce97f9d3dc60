//! Supply: what exists, and what of it is free.

use super::Sku;

/// The bound of |on_hand|, |floor|, |delta| and held: beyond it Lua loses digits when it prints.
pub const UNITS_MAX: i64 = 100_000_000_000_000;

/// One row of the ledger's `stock` table, and the register that the holds' store keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockRow {
    /// Grows with every change of the row: at least the database's time in microseconds.
    pub version: i64,
    /// Units that exist and are not sold.
    pub on_hand: i64,
    /// How far `on_hand` may be sold down.
    pub floor: i64,
    /// Refuses new holds, settles old ones.
    pub retired: bool,
}

impl StockRow {
    /// Units that a new hold may take while `held` are held; never negative, and never so many that `held` would leave
    /// its bound.
    pub fn available(&self, held: i64) -> i64 {
        if self.retired {
            return 0;
        }
        (self.on_hand - self.floor - held).min(UNITS_MAX - held).max(0)
    }
}

/// One sku as a caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockItem {
    /// What is counted.
    pub sku: Sku,
    /// Its row.
    pub row: StockRow,
    /// Units in live holds.
    pub held: i64,
}

/// One sku as `SetStock` wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockTarget {
    /// What is counted.
    pub sku: Sku,
    /// Units that exist, within ±[`UNITS_MAX`].
    pub on_hand: i64,
    /// How far they may be sold down, within ±[`UNITS_MAX`].
    pub floor: i64,
    /// Refuse new holds.
    pub retired: bool,
    /// Refuse unless the row has this version; 0 means that there must be none.
    pub expected_version: Option<i64>,
}

/// One change of `AdjustStock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// What is counted.
    pub sku: Sku,
    /// Units to add or, if negative, to remove; not 0, within ±[`UNITS_MAX`].
    pub delta: i64,
}

/// The version of a row that changes now. It grows even if the database's clock went back.
pub fn next_version(version: i64, now_micros: i64) -> i64 {
    version.saturating_add(1).max(now_micros)
}
