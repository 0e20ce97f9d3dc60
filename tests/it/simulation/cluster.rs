//! Instances of the service over the world's stores. They are killed and restarted, and their links to the stores fail.
//!
//! A killed instance gets no further answer from a store, and its open transactions end. So it has no further effect,
//! whatever await point it is at. Nothing outside the instance can tell this from a crash.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use stockhold::domain::Location;
use stockhold::holds::batched::BatchedHolds;
use stockhold::holds::{Command, Holds, HoldsError, Reply};
use stockhold::ledger::{Failure, Ledger, LedgerError};
use stockhold::service::Service;
use stockhold::tasks::{Tasks, TasksConfig};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::invariants;
use super::world::World;
use crate::support::memory_database::{CommitFate, MemoryDatabase, WAIT_TIMEOUT, Weather, failed};
use crate::support::service::limits;

/// The longest that the network delays a command or a commit whose sender has given up.
pub(crate) const LATE_MAX: Duration = Duration::from_secs(10);

/// The longest that a database holds a commit back, as one whose disk stalls: longer than sync looks back.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(45);

/// How long the service waits for the holds' store, as the Redis client does.
const HOLDS_TIMEOUT: Duration = Duration::from_millis(1000);

pub(crate) struct Instance {
    pub(crate) service: Arc<Service>,
    pub(crate) link: Link,
    tasks: Mutex<Option<Tasks>>,
}

impl Instance {
    pub(crate) fn start(world: &Arc<World>, client: usize) -> Arc<Self> {
        let (is_cut, died, fuse) = (Arc::default(), Arc::default(), Arc::new(AtomicUsize::new(usize::MAX)));
        let link = Link { world: Arc::clone(world), client, is_cut, died, fuse };
        let database = MemoryDatabase::new(Arc::clone(&world.server), client, Arc::new(link.clone()));
        let (queue_max, batch_max) =
            (world.draw(|rng| [4, 1000][rng.usize(0..2)]), world.draw(|rng| rng.usize(1..=16)));
        let ledger = Ledger::over(Arc::new(database), queue_max, batch_max);
        let service = Arc::new(Service::new(BatchedHolds::over(Arc::new(link.clone())), ledger, limits()));
        let config = TasksConfig {
            // A seldom sweep leaves overdue holds to be met.
            sweep_every: Duration::from_secs(world.draw(|rng| [1, 5][rng.usize(0..2)])),
            recover_every: Duration::from_secs(1),
            recover_grace: Duration::from_secs(2),
            sync_every: Duration::from_secs(1),
            reconcile_every: Duration::from_secs(if world.profile.repairs { 20 } else { 3600 }),
            books_every: Duration::from_secs(60),
        };
        let tasks = Tasks::start(&service, &config);
        Arc::new(Self { service, link, tasks: Mutex::new(Some(tasks)) })
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.link.is_cut.load(Ordering::Relaxed)
    }

    pub(crate) fn kill(&self) {
        self.link.cut();
        drop(self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take());
        let (world, client) = (Arc::clone(&self.link.world), self.link.client);
        let found_gone_after = if world.one_in(3) { WAIT_TIMEOUT } else { Duration::ZERO };
        tokio::spawn(async move {
            sleep(found_gone_after).await;
            world.server.roll_back_all_of(client);
        });
    }

    /// Cuts the links once they were used `uses` more times, in the midst of whatever the instance does then.
    pub(crate) fn light_fuse(&self, uses: usize) {
        self.link.fuse.store(uses, Ordering::Relaxed);
    }

    /// Returns once its links are cut.
    pub(crate) async fn death(&self) {
        let died = self.link.died.notified();
        if self.is_alive() {
            died.await;
        }
    }
}

/// An instance's links to the stores.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) world: Arc<World>,
    client: usize,
    is_cut: Arc<AtomicBool>,
    died: Arc<Notify>,
    fuse: Arc<AtomicUsize>,
}

impl Link {
    fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        self.died.notify_waiters();
    }

    async fn way(&self) {
        self.world.pass_some_time().await;
        if self.fuse.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.cut();
        }
        if self.is_cut.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    }

    fn count(&self, fault: &'static str) {
        self.world.event(fault, &self.client);
    }
}

async fn effect(world: &World, location: &Location, commands: &[Command]) -> Result<Vec<Reply>, HoldsError> {
    let replies = world.holds.apply(location, commands).await?;
    for (number, (command, reply)) in commands.iter().zip(&replies).enumerate() {
        invariants::after_step(world, location, command, reply, number + 1 == commands.len());
    }
    Ok(replies)
}

#[async_trait]
impl Holds for Link {
    async fn apply(&self, location: &Location, commands: &[Command]) -> Result<Vec<Reply>, HoldsError> {
        let fails = |error| {
            self.world.holds_failed();
            Err(error)
        };
        let unknown = || fails(HoldsError::OutcomeUnknown("the simulation".into()));
        let unavailable = || fails(HoldsError::Unavailable("the simulation".into()));
        self.way().await;
        let storm = self.world.storm();
        if storm.holds_are_away() {
            return unavailable();
        }
        if storm.holds_are_full() && commands.iter().any(Command::takes_memory) {
            self.count("holds full");
            return fails(HoldsError::Full);
        }
        if self.world.strikes() {
            match self.world.draw(|rng| rng.u32(0..5)) {
                0 => {
                    self.count("holds refused");
                    return unavailable();
                }
                1 => {
                    self.count("holds lost");
                    return unknown();
                }
                2 => {
                    self.count("holds late");
                    let (world, location, commands) = (Arc::clone(&self.world), location.clone(), commands.to_vec());
                    let after = world.ms(1..=LATE_MAX.as_millis() as u64);
                    tokio::spawn(async move {
                        sleep(after).await;
                        let _ = effect(&world, &location, &commands).await;
                    });
                    sleep(HOLDS_TIMEOUT).await;
                    return unknown();
                }
                _ => {
                    // A script that dies midway has applied its first commands.
                    self.count("holds unheard");
                    let done = self.world.draw(|rng| rng.usize(0..=commands.len()));
                    effect(&self.world, location, &commands[..done]).await?;
                    self.way().await;
                    return unknown();
                }
            }
        }
        let replies = effect(&self.world, location, commands).await;
        self.way().await;
        replies
    }

    async fn ping(&self) -> Result<(), HoldsError> {
        Ok(())
    }
}

#[async_trait]
impl Weather for Link {
    async fn connect(&self) -> Result<(), LedgerError> {
        self.way().await;
        let storm = self.world.storm();
        if storm.ledger_is_away() {
            if !storm.ledger_refuses {
                // The pool waits this long for a connection.
                sleep(Duration::from_secs(3)).await;
            }
            return Err(failed(Failure::NoConnection, "the simulation"));
        }
        Ok(())
    }

    async fn statement(&self) -> Result<(), LedgerError> {
        self.way().await;
        let storm = self.world.storm();
        if storm.ledger_is_away() {
            return Err(failed(Failure::Connection, "the simulation"));
        }
        if self.world.strikes() {
            match self.world.draw(|rng| rng.u32(0..6)) {
                0 => {
                    self.count("ledger silent");
                    return pending().await;
                }
                1 | 2 => {
                    self.count("ledger collides");
                    return Err(failed(Failure::Collision, "the simulation"));
                }
                3 => {
                    self.count("ledger fails");
                    return Err(failed(Failure::Statement, "the simulation"));
                }
                _ => {
                    self.count("ledger cut");
                    return Err(failed(Failure::Connection, "the simulation"));
                }
            }
        }
        Ok(())
    }

    fn commit(&self) -> CommitFate {
        // A commit fails more often than other calls, because its loss is the hardest to handle.
        if !(self.world.strikes() || self.world.strikes() || self.world.strikes()) {
            return CommitFate::Done;
        }
        let fate = match self.world.draw(|rng| rng.u32(0..5)) {
            0 => CommitFate::Lost,
            1 | 2 => CommitFate::Unheard,
            3 => CommitFate::Silent,
            _ if self.world.one_in(3) => {
                self.count("commit stalled");
                CommitFate::Late(self.world.ms(1..=STALL_MAX.as_millis() as u64))
            }
            _ => CommitFate::Late(self.world.ms(1..=LATE_MAX.as_millis() as u64)),
        };
        self.count("commit unknown");
        fate
    }

    fn now_micros(&self) -> i64 {
        self.world.ledger_now_micros()
    }
}
