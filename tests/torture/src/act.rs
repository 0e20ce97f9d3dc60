//! Probes: while a fault acts, they ask each instance for what must still work and for what cannot work (the table of
//! faults in `docs/promises.md`). If what cannot work succeeds, the fault did no harm, and that is a violation too.
//!
//! Probes begin once the fault has struck and end before it is undone, so every answer is about the fault.

use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use stockhold_servers::redis::Redis;
use tokio::time::timeout;

use crate::caller::Errand;
use crate::client::Unknown;
use crate::order::{Ask, Heard};
use crate::plan::Plan;
use crate::run::{BUSY, PROBED, Run, count, locked};

/// The pause between two probes of an instance.
const PROBE_EVERY: Duration = Duration::from_millis(50);

/// What must still work succeeds within this time, repeats included. It is generous because the machine is busy.
const DONE_MAX: Duration = Duration::from_secs(5);

/// The pause between two tries of a call that must succeed.
const PAUSE: Duration = Duration::from_millis(20);

/// An instance answers within this time that Redis is away. The instance itself waits one second for a silent Redis.
const UNAVAILABLE_MAX: Duration = Duration::from_secs(3);

/// What an instance must do while a fault acts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Promise {
    /// There is nothing that must work at every moment.
    Nothing,
    /// Reserve and Confirm succeed, each within a bound.
    Everything { within: Duration },
    /// Redis was emptied: Reserve succeeds, because registers refill on demand.
    Refills,
    /// MySQL is away: Reserve, Extend and Get succeed, and Confirm does not.
    Holds,
    /// Redis is away: the answer is `UNAVAILABLE`, and comes fast.
    Unavailable,
    /// The instance is dead, so there is no answer.
    Dead,
}

impl Promise {
    /// What holds without a fault.
    pub(crate) const EVERYTHING: Self = Self::Everything { within: DONE_MAX };
}

/// A fault while it acts.
pub(crate) struct Act {
    run: Arc<Run>,
    lasting: Duration,
    /// One for each instance.
    promises: [Promise; 2],
    /// The orders of the probes. They must all come to an end once the fault is over.
    tried: Mutex<Vec<Arc<Errand>>>,
}

impl Act {
    pub(crate) fn new(run: &Arc<Run>, lasting: Duration, promises: [Promise; 2]) -> Self {
        Self { run: run.clone(), lasting, promises, tried: Mutex::default() }
    }

    pub(crate) fn lasting(&self) -> Duration {
        self.lasting
    }

    /// Lets the fault act for its time and probes both instances. It may act a little longer, until the last probe is
    /// answered.
    pub(crate) async fn pass(&self) {
        let [first, second] = [0, 1].map(|instance| Box::pin(self.probe(instance)));
        join(tokio::time::sleep(self.lasting), join(first, second)).await;
    }

    /// Reserves an order and answers its id, so that Redis can be seen to forget it.
    pub(crate) async fn witness(&self, redis: &Redis) -> Result<String, String> {
        let errand = self.errand(0, PROBED);
        self.is_done(0, &errand, Ask::Reserve, DONE_MAX).await;
        let id = errand.id().to_string();
        if remembers(redis, &id).await { Ok(id) } else { Err(format!("Redis did not have {id} before the fault")) }
    }

    /// Fails if Redis still has what it should have forgotten.
    pub(crate) async fn has_forgotten(&self, redis: &Redis, witness: &str) -> Result<(), String> {
        if remembers(redis, witness).await { Err(format!("Redis still has {witness}")) } else { Ok(()) }
    }

    /// Ends all orders of the probes.
    pub(crate) async fn finish(&self) {
        let tried = std::mem::take(&mut *locked(&self.tried));
        join_all(tried.iter().map(|errand| errand.finish())).await;
    }

    async fn probe(&self, instance: usize) {
        let (begin, mut number) = (Instant::now(), 0);
        let left = || self.lasting.saturating_sub(begin.elapsed());
        let probes = async {
            while !left().is_zero() {
                let busy = BUSY[number % BUSY.len()];
                match self.promises[instance] {
                    Promise::Nothing => return,
                    Promise::Everything { within } => self.everything(instance, within).await,
                    Promise::Refills => self.refills(instance, busy).await,
                    Promise::Holds => self.holds(instance, busy).await,
                    Promise::Unavailable => self.unavailable(instance, busy).await,
                    Promise::Dead => self.dead(instance, busy).await,
                }
                count(&self.run.counts.probes);
                number += 1;
                tokio::time::sleep(PROBE_EVERY).await;
            }
        };
        let confirm = async {
            if matches!(self.promises[instance], Promise::Holds) {
                // A Confirm that waits longer than the fault lasts has not succeeded without MySQL.
                let _ = timeout(left(), self.not_confirmed(instance)).await;
            }
        };
        join(probes, confirm).await;
    }

    async fn everything(&self, instance: usize, within: Duration) {
        let errand = self.errand(instance, PROBED);
        for ask in [Ask::Reserve, Ask::Confirm { reacquire: false }] {
            if !self.is_done(instance, &errand, ask, within).await {
                return;
            }
        }
    }

    async fn refills(&self, instance: usize, location: &'static str) {
        let errand = self.errand(instance, location);
        self.is_done(instance, &errand, Ask::Reserve, DONE_MAX).await;
    }

    async fn holds(&self, instance: usize, location: &'static str) {
        let errand = self.errand(instance, location);
        if self.is_done(instance, &errand, Ask::Reserve, DONE_MAX).await {
            self.is_done(instance, &errand, errand.extension(false), DONE_MAX).await;
            self.is_done(instance, &errand, Ask::Get, DONE_MAX).await;
        }
    }

    async fn not_confirmed(&self, instance: usize) {
        let errand = self.errand(instance, PROBED);
        if self.is_done(instance, &errand, Ask::Reserve, DONE_MAX).await
            && let Ok(heard) = errand.once(instance, Ask::Confirm { reacquire: false }).await
        {
            self.broken(instance, &errand, format!("did no harm: Confirm without MySQL was answered {heard:?}"));
        }
    }

    async fn unavailable(&self, instance: usize, location: &'static str) {
        let (begin, errand) = (Instant::now(), self.errand(instance, location));
        let heard = errand.once(instance, Ask::Reserve).await;
        let took = begin.elapsed();
        if !matches!(heard, Err(Unknown::NothingDone | Unknown::Outcome)) || took > UNAVAILABLE_MAX {
            self.broken(instance, &errand, format!("Reserve without Redis was answered {heard:?} after {took:?}"));
        }
    }

    async fn dead(&self, instance: usize, location: &'static str) {
        let errand = self.errand(instance, location);
        let heard = errand.once(instance, Ask::Reserve).await;
        if heard != Err(Unknown::Broken) {
            self.broken(instance, &errand, format!("did no harm: a dead instance answered {heard:?}"));
        }
    }

    /// Repeats a call until it succeeds. A refusal, or taking too long, is a violation.
    async fn is_done(&self, instance: usize, errand: &Errand, ask: Ask, within: Duration) -> bool {
        let begin = Instant::now();
        loop {
            let heard = errand.once(instance, ask).await;
            let (is_done, took) = (matches!(heard, Ok(Heard::Done(_))), begin.elapsed());
            if took > within || matches!(heard, Ok(Heard::Refused(_))) {
                self.broken(instance, errand, format!("{ask:?} was answered {heard:?} after {took:?}"));
                return is_done;
            }
            if is_done {
                return true;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn errand(&self, instance: usize, location: &'static str) -> Arc<Errand> {
        let mut tried = locked(&self.tried);
        let id = format!("{}probe{}", self.run.prefix(), tried.len());
        let errand = Arc::new(Errand::new(&self.run, instance, id, Plan::probe(&self.run, instance, location)));
        tried.push(errand.clone());
        errand
    }

    fn broken(&self, instance: usize, errand: &Errand, what: impl Display) {
        let (promise, number) = (self.promises[instance], instance + 1);
        self.run.violation(format!("while the fault acts, instance {number} ({promise:?}): {what}; {errand}"));
    }
}

async fn remembers(redis: &Redis, id: &str) -> bool {
    redis.command(&["HEXISTS", &format!("stockhold:{{{PROBED}}}:records"), id]).await.concat() == "1"
}
