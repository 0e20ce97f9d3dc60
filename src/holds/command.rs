//! What a store of holds is asked for: one command for each step of the protocol.

use super::reply::{Held, Position};
use crate::domain::{Lines, ReservationId, Settlement, Sku, StockRow};

/// Ledger rows by sku; `None` says that the ledger has no such row.
pub type Rows = Vec<(Sku, Option<StockRow>)>;

/// One step of the protocol.
#[derive(Clone, Debug)]
pub enum Command {
    /// Holds all lines or none.
    ///
    /// `Accepted`: held now, or held, confirming or confirmed with the same lines before. Refusals in this order:
    /// `IdReused`, `Ended`, `Missing`, `Retired`, `More`, `Short`.
    Reserve {
        /// The reservation.
        id: ReservationId,
        /// What to hold.
        lines: Lines,
        /// How long.
        ttl_ms: u64,
    },
    /// The first step of a confirm: `Held` becomes `Confirming`, its lines become those to confirm, and the rest is
    /// released.
    ///
    /// `Accepted`: confirming or confirmed, with these lines. Refusals in this order: `NotFound`, `Ended`, `Mismatch`
    /// (confirming or confirmed with other lines, or more than was reserved), and with `reacquire` `Missing`,
    /// `Retired`, `More`, `Short`.
    Begin {
        /// The reservation.
        id: ReservationId,
        /// A part to confirm; none means all that was reserved.
        lines: Option<Lines>,
        /// Take an expired reservation's stock again.
        reacquire: bool,
    },
    /// `Held` or `Expired` becomes `Cancelled`, and waits in `unsettled` for its settlement. So does an id that was
    /// never seen: its record is a tombstone, which refuses the Reserve that arrives late.
    ///
    /// `Accepted`: cancelled, or confirming and unchanged: the ledger must decide. Refusals: `Ended` (confirmed or
    /// rejected); of an id that was never seen `UnknownLocation`, `TombstonesFull`.
    Cancel {
        /// The reservation.
        id: ReservationId,
    },
    /// Moves the deadline later, never earlier.
    ///
    /// `Accepted`: held, or confirming and unchanged. Refusals in this order: `NotFound`, `Ended` (also: `expire_ms`
    /// does not revive because it has passed), `BeyondLifetime`, and with `reacquire` `Missing`, `Retired`, `More`,
    /// `Short`.
    Extend {
        /// The reservation.
        id: ReservationId,
        /// The new deadline.
        expire_ms: u64,
        /// The longest that a reservation may last from its creation.
        lifetime_ms: u64,
        /// Take an expired reservation's stock again.
        reacquire: bool,
    },
    /// Tells the store the ledger's final word, and pushes the rows. The word overrides whatever the store has for the
    /// id, and releases what is live.
    ///
    /// `Accepted`. `NotFound`: the store has nothing of the id, and keeps nothing of it, because callers may ask for
    /// any number of reservations that only the ledger remembers. Refusal: `Missing` names lines of the settlement or
    /// of the stored reservation without a row here: dropping a hold whose deduction is not in the register would make
    /// its units free twice. A `Cancelled` settlement deducts nothing and needs no rows.
    Settle {
        /// The final word.
        settlement: Settlement,
        /// The rows of its lines, as they stood after the settlement.
        rows: Rows,
    },
    /// Updates registers whose version is older. Answers `Pushed`.
    Push {
        /// What the ledger has, each sku once; no row removes the register.
        rows: Rows,
    },
    /// Replaces one register whatever its version, if it is still the one that was judged. Answers `Pushed`.
    ReplaceRegister {
        /// The sku.
        sku: Sku,
        /// What the store had.
        judged: Option<StockRow>,
        /// What the ledger has.
        row: Option<StockRow>,
    },
    /// Corrects one `held` counter, if it did not change since it was judged. Answers `Pushed`.
    ReplaceHeld {
        /// The sku.
        sku: Sku,
        /// The counter that was judged.
        judged: Held,
        /// The sum of its live lines.
        units: i64,
    },
    /// Reads skus as a caller sees them. Answers `Stock`, or `Missing`, or `More`.
    Stock {
        /// Which.
        skus: Vec<Sku>,
    },
    /// Reads registers and counters as they are stored. Answers `Counters`.
    Counters {
        /// Which.
        skus: Vec<Sku>,
    },
    /// Reads which skus have a register or a counter, some at a time, none missed, some perhaps twice. Answers `Skus`.
    Skus {
        /// Empty at first, then that of the page before.
        cursor: String,
    },
    /// Reads one reservation. `Accepted` (whatever its state) or `NotFound`.
    Get {
        /// Which.
        id: ReservationId,
    },
    /// Looks through the records, some at a time, none missed, some perhaps twice, for reservations that wait for
    /// something and that an index lacks: held ones at their deadline, confirming ones and cancelled ones without a
    /// settlement. Enters them if it is to repair. Answers `Unindexed`.
    Reindex {
        /// Empty at first, then that of the page before.
        cursor: String,
        /// Whether to enter what is lacking.
        repair: bool,
    },
    /// Reads live reservations: held ones by deadline, then confirming ones. A reservation that stays live is seen
    /// at least once by paging through. Overdue ones that were not reclaimed yet are included. Answers `Page`, which
    /// ends early once it has `PAGE_BYTES_MAX`.
    List {
        /// Where the page before ended.
        after: Option<Position>,
        /// The most index entries to look at.
        limit: usize,
    },
    /// Reclaims overdue holds, and forgets what has ended for longer than the retention time, a bounded number of each.
    /// Answers `Swept`.
    Sweep,
    /// Takes up to `limit` reservations that wait for their settlement and were not touched for `grace_ms`, and marks
    /// them as touched now, so that no other instance takes them meanwhile. One that was touched in
    /// the future, before the store's clock went back, is taken too. Entries of others are stale and go. Answers
    /// `Claimed`.
    Claim {
        /// At most so many.
        limit: usize,
        /// For how long they must not have been touched.
        grace_ms: u64,
    },
    /// Reads how far the sync task has pushed. Answers `Synced`.
    GetSynced,
    /// Writes how far the sync task has pushed, unless another instance or a rewind changed it meanwhile. Answers
    /// `Synced` with what stands.
    SetSynced {
        /// What it was when the task began.
        judged: Option<i64>,
        /// A row version.
        version: i64,
    },
}

impl Command {
    /// Whether it may write a new live reservation. Only these are refused when the store is full: the others free
    /// stock, or settle what was promised.
    pub fn takes_memory(&self) -> bool {
        matches!(self, Command::Reserve { .. })
    }

    /// How many lines, rows or skus it carries, and at least one.
    pub(super) fn lines(&self) -> usize {
        match self {
            Command::Reserve { lines, .. } | Command::Begin { lines: Some(lines), .. } => lines.len(),
            Command::Settle { settlement, rows } => 1 + settlement.lines.len() + rows.len(),
            Command::Push { rows } => rows.len(),
            Command::Stock { skus } | Command::Counters { skus } => skus.len(),
            Command::Begin { lines: None, .. }
            | Command::Cancel { .. }
            | Command::Extend { .. }
            | Command::ReplaceRegister { .. }
            | Command::ReplaceHeld { .. }
            | Command::Skus { .. }
            | Command::Get { .. }
            | Command::Reindex { .. }
            | Command::List { .. }
            | Command::Sweep
            | Command::Claim { .. }
            | Command::GetSynced
            | Command::SetSynced { .. } => 1,
        }
        .max(1)
    }
}
