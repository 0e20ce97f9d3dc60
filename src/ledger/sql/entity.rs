//! The tables as sea-orm sees them; what their columns mean stands in `migrations`.

pub(super) mod deduction;
pub(super) mod movement;
pub(super) mod settlement;
pub(super) mod stock;
