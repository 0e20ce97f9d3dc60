//! The holds' store: live reservations, what is held of each sku, and a copy of each stock row (its register).
//!
//! [`Holds`] is the contract. Two stores keep it: `embedded`, in this process, which is also the executable
//! specification, and `redis`, whose Lua library does the same. `batched` stands before whichever is used and lets its
//! callers share calls. `tests/it/holds_contract.rs` runs against all.
//!
//! Promises, for every command:
//! - It is atomic. It either refuses and changes nothing, or does all it says. Reclaiming overdue holds on the way is
//!   no change: they counted for nothing since their deadline. A call does so once: for `Stock`, for `Sweep`, and where
//!   they are in the way.
//! - A hold counts until `expire_ms`, exclusive, by the store's own clock.
//! - `held` of a sku is the sum of its lines in live reservations, changed together with them.
//! - A register is a last-writer-wins copy of a ledger row: only a newer version replaces it.
//! - Repeating a command under the same id changes nothing further.
//! - It does not know the ledger.

pub mod batched;
pub mod embedded;
pub mod redis;

use async_trait::async_trait;

use crate::domain::{Lines, Location, Reservation, ReservationId, Settlement, Shortage, Sku, StockItem, StockRow};

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
    /// `Held` or `Expired` becomes `Cancelled`, as does what was never seen, and waits in `unsettled` for its
    /// settlement.
    ///
    /// `Accepted`: cancelled, or confirming and unchanged: the ledger must decide. Refusal: `Ended` (confirmed or
    /// rejected).
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
    /// Tells the store the ledger's final word. It overrides whatever the store has for the id, releases what is live,
    /// and pushes the rows.
    ///
    /// `Accepted`. Refusal: `Missing` names lines of the settlement or of the stored reservation without a row here:
    /// dropping a hold whose deduction is not in the register would make its units free twice. A `Cancelled` settlement
    /// deducts nothing and needs no rows.
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
    /// Reads live reservations: held ones by deadline, then confirming ones. A reservation that stays live is seen
    /// at least once by paging through. Overdue ones that nobody reclaimed yet are included. Answers `Page`.
    List {
        /// Where the page before ended.
        after: Option<Position>,
        /// How many index entries to look at.
        limit: usize,
    },
    /// Reclaims overdue holds, and forgets what has ended for longer than the retention time, a bounded number of each.
    /// Answers `Swept`.
    Sweep,
    /// Takes up to `limit` confirming or cancelled reservations that nobody touched for `grace_ms` although they wait
    /// in `unsettled`, and marks them as touched now, so that nobody else takes them meanwhile. One that was touched in
    /// the future, before the store's clock went back, is taken too. Entries of others are stale and go. Answers
    /// `Claimed`.
    Claim {
        /// At most so many.
        limit: usize,
        /// For how long nobody must have touched them.
        grace_ms: u64,
    },
    /// Reads how far the sync task has pushed. Answers `Synced`.
    GetSynced,
    /// Writes how far the sync task has pushed, if nobody (and no rewind of the store) wrote it meanwhile. Answers
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

    /// About how many lines, rows or records the store has to look at for it.
    fn lines(&self) -> usize {
        /// What a hold that is given back may have: nobody knows before.
        const LINES_OF_A_HOLD: usize = 8;
        match self {
            Command::Reserve { lines, .. } => lines.len(),
            Command::Begin { lines, .. } => lines.as_ref().map_or(0, Lines::len),
            Command::Settle { settlement, rows } => settlement.lines.len() + rows.len(),
            Command::Push { rows } => rows.len(),
            Command::Stock { skus } | Command::Counters { skus } => skus.len(),
            Command::Cancel { .. } => LINES_OF_A_HOLD,
            Command::List { limit, .. } | Command::Claim { limit, .. } => limit.saturating_mul(LINES_OF_A_HOLD),
            Command::Skus { .. } => SKUS_PAGE,
            Command::Sweep => RECLAIM_LINES_MAX + FORGET_MAX,
            Command::Extend { .. }
            | Command::ReplaceRegister { .. }
            | Command::ReplaceHeld { .. }
            | Command::Get { .. }
            | Command::GetSynced
            | Command::SetSynced { .. } => 1,
        }
    }
}

/// The answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done, or done before: the reservation as it now stands.
    Accepted(Reservation),
    /// The id was reserved with other lines.
    IdReused,
    /// It ended before; how.
    Ended(Reservation),
    /// The store knows nothing of this id.
    NotFound,
    /// The lines to confirm are not those confirmed before, or not held.
    Mismatch,
    /// The deadline would be later than this, in Unix milliseconds.
    BeyondLifetime(u64),
    /// Too little is free, and no overdue hold stands in the way.
    Short(Vec<Shortage>),
    /// These skus refuse new holds.
    Retired(Vec<Sku>),
    /// Registers (or for `Settle`, rows) of these skus are needed first.
    Missing(Vec<Sku>),
    /// Overdue holds were reclaimed and more remain: repeat.
    More,
    /// The store has what stockhold never writes, in words, where the command looked: nothing was changed.
    Corrupt(String),
    /// How many registers or counters were changed.
    Pushed(usize),
    /// One item a sku, in the order asked for.
    Stock(Vec<StockItem>),
    /// One pair a sku, in the order asked for.
    Counters(Vec<(Option<StockRow>, Held)>),
    /// Some skus, and the cursor of the next page; empty at the end.
    Skus(Vec<Sku>, String),
    /// Some live reservations.
    Page(Page),
    /// What was reclaimed.
    Swept {
        /// How many holds.
        holds: usize,
        /// Whether there is more to reclaim or to forget.
        more: bool,
    },
    /// Confirming reservations, and cancelled ones whose settlement may be missing.
    Claimed(Vec<Reservation>),
    /// How far the sync task has pushed.
    Synced(Option<i64>),
}

/// A `held` counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Units in live holds.
    pub units: i64,
    /// Grows with every change, so that a repair can tell whether the sum it took is still true.
    pub changes: i64,
}

/// Some live reservations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Live ones, in order.
    pub reservations: Vec<Reservation>,
    /// Where to go on; none at the end.
    pub next: Option<Position>,
    /// The store's clock.
    pub now_ms: u64,
}

/// A place in the order of [`Command::List`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which index.
    pub index: Index,
    /// The score of the last entry seen.
    pub score_ms: u64,
    /// The last entry seen.
    pub id: ReservationId,
}

/// An index of live reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Index {
    /// Held ones, by deadline.
    Deadlines,
    /// Confirming ones (and cancelled ones without a settlement, which `List` leaves out), by when they were last
    /// touched.
    Unsettled,
}

/// Why the store did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HoldsError {
    /// Not executed, and it never will be.
    #[error("the holds' store could not be reached: {0}")]
    Unavailable(String),
    /// It may have been executed. Every command may be repeated.
    #[error("the holds' store did not answer in time: {0}")]
    OutcomeUnknown(String),
    /// Too many wait already; not executed, and it never will be.
    #[error("too many wait for the holds' store")]
    Overloaded,
    /// The store has no memory left for new holds; what frees stock still works.
    #[error("the holds' store is full")]
    Full,
    /// The store's own settings would break the promises; only at the start.
    #[error("this Redis cannot be used: {0}")]
    Unsuitable(String),
    /// The store holds or answered something that this service never writes.
    #[error("the holds' store answered what stockhold does not understand: {0}")]
    Corrupt(String),
}

/// Overdue holds reclaimed by one call: at most so many, ...
pub const RECLAIM_HOLDS_MAX: usize = 200;

/// ... and no further ones once so many lines were given back. Bounded by lines, because they are what costs time: some
/// 2 ms of Redis.
pub const RECLAIM_LINES_MAX: usize = 200;

/// Once a call has forgotten so many reservations, it begins with no further entry of them. An entry has what ended in
/// one call.
pub const FORGET_MAX: usize = 200;

/// About how many skus a page of [`Command::Skus`] has.
pub const SKUS_PAGE: usize = 500;

/// A store of holds. See the module for what every implementation promises.
#[async_trait]
pub trait Holds: Send + Sync + 'static {
    /// Applies the commands to one location, in order, each atomically by itself, and answers in the same order. One
    /// that meets what is corrupt does not keep the others from being applied. After an error any number of them may
    /// have been applied, unless it is `Unavailable` or `Full`.
    async fn apply(&self, location: &Location, commands: &[Command]) -> Result<Vec<Reply>, HoldsError>;

    /// Answers if the store is there.
    async fn ping(&self) -> Result<(), HoldsError>;
}
