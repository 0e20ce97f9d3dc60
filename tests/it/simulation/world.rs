//! One simulated world: its stores, its clocks, its random numbers, and what went wrong.
//!
//! All random numbers come from the seed, and everything runs on one thread under paused time. So a seed is one
//! schedule.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use stockhold::domain::{Location, Sku};
use stockhold::holds::HoldsConfig;
use stockhold::holds::embedded::EmbeddedHolds;
use tokio::time::{Instant, sleep};

use super::auditor::Auditor;
use crate::support::holds::{START_MS, location, sku};
use crate::support::memory_database::Server;

/// The kind of world. Each switch permits some faults, and the auditor excuses what these faults excuse.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// The holds' store is emptied and rewound.
    pub(crate) loses_holds: bool,
    /// The clocks of the holds' store and of the database jump.
    pub(crate) clocks_jump: bool,
    /// Supply is written off, floors are raised and skus are retired, while orders hold the units.
    pub(crate) supply_falls: bool,
    /// Ended reservations are forgotten after seconds.
    pub(crate) forgets: bool,
    /// There are fewer units than the orders want.
    pub(crate) is_scarce: bool,
    /// Reconcile runs and repairs during the chaos. Without it everything must heal all the same.
    pub(crate) repairs: bool,
    /// Hundreds of holds expire at the same moment (see `crowd`).
    pub(crate) has_crowd: bool,
    pub(crate) instances: usize,
    /// How often chaos and quiet follow each other.
    pub(crate) rounds: usize,
    pub(crate) orders_a_round: usize,
    /// How long each chaos lasts.
    pub(crate) chaos: Duration,
    /// How many of a thousand calls of a store fail.
    pub(crate) failing_permille: u32,
}

impl Profile {
    fn draw(rng: &mut Rng) -> Self {
        let mut one_in = |n: u32| rng.u32(0..n) == 0;
        let (loses_holds, clocks_jump, supply_falls) = (one_in(3), one_in(3), one_in(3));
        let (forgets, is_scarce, repairs, has_crowd) = (one_in(6), one_in(2), one_in(2), one_in(10));
        Self {
            loses_holds,
            clocks_jump,
            supply_falls,
            forgets,
            is_scarce,
            repairs,
            has_crowd,
            instances: rng.usize(2..=3),
            rounds: rng.usize(1..=2),
            orders_a_round: rng.usize(15..=50),
            chaos: Duration::from_secs(rng.u64(15..=45)),
            failing_permille: [0, 5, 20, 80][rng.usize(0..4)],
        }
    }

    /// How many tombstones a location may have.
    pub(crate) fn tombstones_max(&self) -> usize {
        if self.forgets { 4 } else { 1_000_000 }
    }

    fn calm() -> Self {
        Self {
            loses_holds: false,
            clocks_jump: false,
            supply_falls: false,
            forgets: false,
            is_scarce: false,
            repairs: false,
            has_crowd: false,
            instances: 1,
            rounds: 0,
            orders_a_round: 0,
            chaos: Duration::ZERO,
            failing_permille: 0,
        }
    }
}

/// What is wrong with the stores now. The nemesis changes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storm {
    pub(crate) holds_away_until: Instant,
    pub(crate) holds_full_until: Instant,
    pub(crate) ledger_away_until: Instant,
    /// A ledger that is away refuses connections at once. Otherwise connecting times out.
    pub(crate) ledger_refuses: bool,
    pub(crate) failing_permille: u32,
}

impl Storm {
    pub(crate) fn holds_are_away(&self) -> bool {
        Instant::now() < self.holds_away_until
    }

    pub(crate) fn holds_are_full(&self) -> bool {
        Instant::now() < self.holds_full_until
    }

    pub(crate) fn ledger_is_away(&self) -> bool {
        Instant::now() < self.ledger_away_until
    }
}

pub(crate) struct World {
    pub(crate) profile: Profile,
    pub(crate) locations: [Location; 2],
    pub(crate) skus: Vec<Sku>,
    pub(crate) holds: Arc<EmbeddedHolds>,
    pub(crate) server: Arc<Server>,
    pub(crate) clock: Arc<HoldsClock>,
    pub(crate) auditor: Mutex<Auditor>,
    /// How many calls of the holds' store failed.
    holds_failures: AtomicUsize,
    ledger_skew_micros: AtomicI64,
    begun: Instant,
    rng: Mutex<Rng>,
    storm: Mutex<Storm>,
    record: Mutex<Record>,
}

/// What happened.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) violations: Vec<String>,
    /// A digest of all events. The same seed has the same digest.
    pub(crate) digest: u64,
    /// Print each event.
    pub(crate) is_shown: bool,
}

/// The clock of the holds' store. It remembers the latest time it ever told, since what expired then stays expired.
pub(crate) struct HoldsClock {
    begun: Instant,
    skew_ms: AtomicI64,
    latest_ms: AtomicU64,
}

impl HoldsClock {
    pub(crate) fn now_ms(&self) -> u64 {
        let passed_ms = START_MS + self.begun.elapsed().as_millis() as u64;
        let now_ms = passed_ms.saturating_add_signed(self.skew_ms.load(Ordering::Relaxed));
        self.latest_ms.fetch_max(now_ms, Ordering::Relaxed);
        now_ms
    }

    pub(crate) fn latest_ms(&self) -> u64 {
        self.now_ms().max(self.latest_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn jump(&self, ms: i64) {
        self.now_ms();
        self.skew_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

impl World {
    pub(crate) fn new(seed: u64, is_shown: bool) -> Arc<Self> {
        let mut rng = Rng::with_seed(!seed);
        let profile = Profile::draw(&mut rng);
        Self::with(seed, profile, rng, is_shown)
    }

    /// A world in which nothing fails: for tests of the auditor itself.
    pub(crate) fn calm() -> Arc<Self> {
        Self::with(0, Profile::calm(), Rng::with_seed(0), false)
    }

    fn with(seed: u64, profile: Profile, rng: Rng, is_shown: bool) -> Arc<Self> {
        // The ledger draws the jitter of its repeats from this thread's generator.
        fastrand::seed(seed);
        let begun = Instant::now();
        let clock = Arc::new(HoldsClock { begun, skew_ms: AtomicI64::new(0), latest_ms: AtomicU64::new(0) });
        let retention = Duration::from_secs(if profile.forgets { 20 } else { 7200 });
        let config = HoldsConfig { retention, tombstones_max: profile.tombstones_max() };
        let told = Arc::clone(&clock);
        let holds = EmbeddedHolds::new(config, Arc::new(move || told.now_ms()));
        let record = Record { is_shown, ..Record::default() };
        let storm = Storm {
            holds_away_until: begun,
            holds_full_until: begun,
            ledger_away_until: begun,
            ledger_refuses: false,
            failing_permille: profile.failing_permille,
        };
        let world = Arc::new(Self {
            locations: ["east", "west"].map(location),
            skus: ["a", "b", "c", "d"].map(sku).into(),
            holds: Arc::new(holds),
            server: Arc::default(),
            clock,
            auditor: Mutex::new(Auditor::new(profile.forgets)),
            holds_failures: AtomicUsize::new(0),
            ledger_skew_micros: AtomicI64::new(0),
            begun,
            rng: Mutex::new(rng),
            storm: Mutex::new(storm),
            record: Mutex::new(record),
            profile,
        });
        world.event("world", &world.profile);
        world
    }

    // --- chance -----------------------------------------------------------------------------------------------------

    pub(crate) fn draw<T>(&self, from: impl FnOnce(&mut Rng) -> T) -> T {
        from(&mut lock(&self.rng))
    }

    pub(crate) fn any_location(&self) -> &Location {
        &self.locations[self.draw(|rng| rng.usize(0..self.locations.len()))]
    }

    pub(crate) fn any_sku(&self) -> &Sku {
        &self.skus[self.draw(|rng| rng.usize(0..self.skus.len()))]
    }

    pub(crate) fn one_in(&self, n: u32) -> bool {
        self.draw(|rng| rng.u32(0..n) == 0)
    }

    pub(crate) fn ms(&self, range: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.draw(|rng| rng.u64(range)))
    }

    /// Draws whether a call of a store fails now.
    pub(crate) fn strikes(&self) -> bool {
        let permille = self.storm().failing_permille;
        permille > 0 && self.draw(|rng| rng.u32(0..1000) < permille)
    }

    /// Mostly does nothing, sometimes lets other tasks run, seldom sleeps.
    pub(crate) async fn pass_some_time(&self) {
        match self.draw(|rng| rng.u32(0..40)) {
            0..20 => {}
            20..32 => tokio::task::yield_now().await,
            32..39 => sleep(self.ms(1..=5)).await,
            _ => sleep(self.ms(5..=300)).await,
        }
    }

    // --- weather ----------------------------------------------------------------------------------------------------

    pub(crate) fn storm(&self) -> Storm {
        *lock(&self.storm)
    }

    pub(crate) fn change_storm(&self, change: impl FnOnce(&mut Storm)) {
        change(&mut lock(&self.storm));
    }

    pub(crate) fn holds_failed(&self) {
        self.holds_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn holds_failures(&self) -> usize {
        self.holds_failures.load(Ordering::Relaxed)
    }

    pub(crate) fn ledger_now_micros(&self) -> i64 {
        let passed = self.begun.elapsed().as_micros() as i64 + START_MS as i64 * 1000;
        passed + self.ledger_skew_micros.load(Ordering::Relaxed)
    }

    pub(crate) fn jump_ledger_clock(&self, micros: i64) {
        self.ledger_skew_micros.fetch_add(micros, Ordering::Relaxed);
    }

    // --- record -----------------------------------------------------------------------------------------------------

    /// Records an event. `what` names its kind.
    pub(crate) fn event(&self, what: &'static str, details: &dyn Debug) {
        let mut record = lock(&self.record);
        *record.counts.entry(what).or_default() += 1;
        let at_ms = self.begun.elapsed().as_millis();
        let mut hasher = DefaultHasher::new();
        (record.digest, at_ms, what, format!("{details:?}")).hash(&mut hasher);
        record.digest = hasher.finish();
        if record.is_shown {
            println!("{at_ms:>8} ms  {what:<16} {details:?}");
        }
    }

    pub(crate) fn violated(&self, what: String) {
        self.event("violation", &what);
        lock(&self.record).violations.push(what);
    }

    pub(crate) fn has_violations(&self) -> bool {
        !lock(&self.record).violations.is_empty()
    }

    pub(crate) fn audit<T>(&self, with: impl FnOnce(&mut Auditor) -> T) -> T {
        with(&mut lock(&self.auditor))
    }

    pub(crate) fn take_record(&self) -> Record {
        std::mem::take(&mut lock(&self.record))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
