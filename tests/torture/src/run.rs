//! One run of one fault: what its callers share, and what they count.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::client::Client;
use crate::order::{End, Lines, Order, Permits};

/// The locations that callers use. Every run uses all of them.
pub(crate) const BUSY: [&str; 2] = ["north", "south"];

/// The location where only probes confirm, so no caller locks its rows.
pub(crate) const PROBED: &str = "aside";

/// All locations.
pub(crate) const LOCATIONS: [&str; 3] = [BUSY[0], BUSY[1], PROBED];

/// A sku of every run, in every location.
pub(crate) struct Supply {
    name: &'static str,
    on_hand: i64,
    floor: i64,
    /// It is never short.
    pub(crate) is_plenty: bool,
    /// How many units a receipt brings; 0 means that there is none.
    pub(crate) receipt: i64,
}

/// Few skus, so that callers meet, and some scarce, so that refusals happen.
pub(crate) const SUPPLIES: [Supply; 5] = [
    Supply { name: "ample", on_hand: 1_000_000, floor: 0, is_plenty: true, receipt: 0 },
    Supply { name: "broad", on_hand: 1_000_000, floor: 1_000, is_plenty: true, receipt: 7 },
    Supply { name: "close", on_hand: 40, floor: 0, is_plenty: false, receipt: 3 },
    Supply { name: "dear", on_hand: 60, floor: 5, is_plenty: false, receipt: 2 },
    Supply { name: "early", on_hand: 0, floor: -50, is_plenty: false, receipt: 1 },
];

impl Supply {
    /// Its sku in a run.
    pub(crate) fn sku(&self, run: &Run) -> String {
        format!("{}{}", run.prefix(), self.name)
    }

    /// Its stock in a location when a run begins.
    pub(crate) fn stock(&self, run: &Run, location: &'static str) -> Stock {
        Stock { location, sku: self.sku(run), on_hand: self.on_hand, floor: self.floor }
    }
}

/// One order, shared by the calls that are made for it.
pub(crate) type SharedOrder = Arc<Mutex<Order>>;

/// The end of an order, as its callers were told.
#[derive(Clone)]
pub(crate) struct Ended {
    pub(crate) id: String,
    pub(crate) location: String,
    pub(crate) end: Option<End>,
    /// The lines that are sold if it was confirmed.
    pub(crate) part: Lines,
}

/// The stock of a sku when the run begins.
#[derive(Clone)]
pub(crate) struct Stock {
    pub(crate) location: &'static str,
    pub(crate) sku: String,
    pub(crate) on_hand: i64,
    /// It never changes.
    pub(crate) floor: i64,
}

/// A receipt that was answered.
#[derive(Clone)]
pub(crate) struct Receipt {
    pub(crate) location: String,
    pub(crate) request_id: String,
    pub(crate) sku: String,
    pub(crate) units: i64,
}

/// One run of one fault.
pub(crate) struct Run {
    pub(crate) number: usize,
    pub(crate) fault: &'static str,
    pub(crate) seed: u64,
    /// The fault makes Redis lose data.
    pub(crate) redis_forgets: bool,
    /// The connections to each instance.
    pub(crate) clients: [Vec<Client>; 2],
    pub(crate) counts: Counts,
    orders: Mutex<Vec<SharedOrder>>,
    ended: Mutex<Vec<Ended>>,
    stock: Mutex<Vec<Stock>>,
    receipts: Mutex<Vec<Receipt>>,
    repaired: AtomicBool,
    over: AtomicBool,
}

/// What is counted for the table.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) requests: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) windows: AtomicU64,
    pub(crate) probes: AtomicU64,
    /// Differences that `Reconcile` found and that the fault permits.
    pub(crate) findings: AtomicU64,
    /// How long each instance took to heal.
    pub(crate) healed: Mutex<Vec<Duration>>,
    violations: AtomicU64,
}

impl Run {
    pub(crate) fn new(
        number: usize,
        fault: &'static str,
        seed: u64,
        redis_forgets: bool,
        clients: [Vec<Client>; 2],
    ) -> Arc<Self> {
        let (counts, orders, ended, stock, receipts, repaired, over) = Default::default();
        Arc::new(Self {
            number,
            fault,
            seed,
            redis_forgets,
            clients,
            counts,
            orders,
            ended,
            stock,
            receipts,
            repaired,
            over,
        })
    }

    /// Reports a violation at once and in full.
    pub(crate) fn violation(&self, what: impl std::fmt::Display) {
        self.counts.violations.fetch_add(1, Ordering::Relaxed);
        println!("VIOLATION (seed {}, run {}, fault: {}): {what}", self.seed, self.number, self.fault);
    }

    /// How many there were.
    pub(crate) fn violations(&self) -> u64 {
        self.counts.violations.load(Ordering::Relaxed)
    }

    pub(crate) fn add_order(&self, order: &SharedOrder) {
        locked(&self.orders).push(order.clone());
    }

    pub(crate) fn orders(&self) -> Vec<SharedOrder> {
        locked(&self.orders).clone()
    }

    /// Adds an order that is not kept in full.
    pub(crate) fn add_ended(&self, ended: Ended) {
        locked(&self.ended).push(ended);
    }

    /// The ends of all orders so far.
    pub(crate) fn ended(&self) -> Vec<Ended> {
        let orders = self.orders().into_iter().map(|order| locked(&order).ended());
        locked(&self.ended).iter().cloned().chain(orders).collect()
    }

    /// Keeps only the end of each order. Its story is long, and not needed once the run is audited.
    pub(crate) fn forget_stories(&self) {
        let ended = self.ended();
        *locked(&self.ended) = ended;
        locked(&self.orders).clear();
    }

    /// All calls and answers of an order, to explain a violation.
    pub(crate) fn story(&self, id: &str) -> String {
        let order = self.orders().into_iter().find(|order| locked(order).id == id);
        order.map_or_else(|| format!("order {id}"), |order| locked(&order).to_string())
    }

    pub(crate) fn add_stock(&self, stock: impl IntoIterator<Item = Stock>) {
        locked(&self.stock).extend(stock);
    }

    /// Every sku of the run.
    pub(crate) fn stock(&self) -> Vec<Stock> {
        locked(&self.stock).clone()
    }

    pub(crate) fn add_receipt(&self, receipt: Receipt) {
        locked(&self.receipts).push(receipt);
    }

    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        locked(&self.receipts).clone()
    }

    /// The fault has done its harm: from now on Redis loses nothing.
    pub(crate) fn repair(&self) {
        self.repaired.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_repaired(&self) -> bool {
        self.repaired.load(Ordering::Relaxed)
    }

    /// What the fault may do to an order that begins now.
    pub(crate) fn permits(&self) -> Permits {
        Permits { forgets: self.redis_forgets && !self.is_repaired(), overpromises: self.redis_forgets }
    }

    /// Callers begin no new orders.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The prefix of all skus, order ids and receipt ids of the run.
    pub(crate) fn prefix(&self) -> String {
        format!("r{}-", self.number)
    }

    /// The same for its windows.
    pub(crate) fn window_prefix(&self) -> String {
        format!("w{}-", self.number)
    }
}

/// A caller that panicked must not hide what the others found.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
