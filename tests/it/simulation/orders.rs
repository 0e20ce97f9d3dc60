//! What callers do. Each order follows a plan that is drawn when it begins. Its requests are repeated until the answer
//! is definite, so in the end the ledger must have exactly what callers were told.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{join, join3};
use stockhold::domain::{Lines, Reservation, State};
use stockhold::service::{Error, LatePolicy};
use tokio::time::sleep;

use super::auditor::Request;
use super::network::Network;
use crate::support::holds::lines;

#[derive(Clone, Copy, Debug)]
enum Plan {
    Buy,
    BuyPart,
    BuyExtended,
    ConfirmLate,
    ReacquireLate,
    ReviveLate,
    Abandon,
    Lapse,
    CancelFirst,
    CancelWhileConfirming,
    AllAtOnce,
    ConfirmTwice,
    ReuseTheId,
    ContradictTheConfirm,
}

const PLANS: [Plan; 14] = [
    Plan::Buy,
    Plan::BuyPart,
    Plan::BuyExtended,
    Plan::ConfirmLate,
    Plan::ReacquireLate,
    Plan::ReviveLate,
    Plan::Abandon,
    Plan::Lapse,
    Plan::CancelFirst,
    Plan::CancelWhileConfirming,
    Plan::AllAtOnce,
    Plan::ConfirmTwice,
    Plan::ReuseTheId,
    Plan::ContradictTheConfirm,
];

/// Runs one order from its beginning to its end.
pub(crate) async fn run(network: Arc<Network>) {
    let world = &network.world;
    let plan = match world.draw(|rng| PLANS[rng.usize(0..PLANS.len())]) {
        // A forgotten id may be reused.
        Plan::ReuseTheId if world.profile.forgets || world.profile.loses_holds => Plan::Buy,
        plan => plan,
    };
    let most = if world.profile.is_scarce { 4 } else { 2 };
    let wanted = world.draw(|rng| {
        let count = rng.usize(1..=3);
        (0..count).map(|_| (["a", "b", "c", "d"][rng.usize(0..4)], rng.u32(1..=most))).collect::<Vec<_>>()
    });
    let wanted = lines(&wanted);
    let part = matches!(plan, Plan::BuyPart).then(|| one_unit_less(&wanted)).flatten();
    let ttl_ms = world.draw(|rng| if rng.bool() { rng.u64(1_000..=8_000) } else { rng.u64(60_000..=600_000) });
    let location = world.any_location();
    let order = world.audit(|auditor| auditor.open(location, wanted.clone(), part.clone(), ttl_ms));
    world.event("order", &(order, plan, ttl_ms));
    let caller = Caller { network: Arc::clone(&network), order, lines: wanted, part, ttl_ms };
    caller.follow(plan).await;
}

/// A smaller order, if there is one.
fn one_unit_less(whole: &Lines) -> Option<Lines> {
    let mut less: Vec<_> = whole.iter().map(|line| (line.sku.clone(), line.quantity)).collect();
    match less.last_mut() {
        Some((_, quantity)) if *quantity > 1 => *quantity -= 1,
        _ => drop(less.pop()),
    }
    Lines::merge(less).ok()
}

struct Caller {
    network: Arc<Network>,
    order: usize,
    lines: Lines,
    part: Option<Lines>,
    ttl_ms: u64,
}

impl Caller {
    async fn follow(&self, plan: Plan) {
        if matches!(plan, Plan::CancelFirst) {
            let _ = self.cancel().await;
            let _ = self.reserve().await;
            let _ = self.confirm(LatePolicy::Reacquire).await;
            return;
        }
        let Ok(held) = self.reserve().await else {
            // Some callers cancel a refused order, as the contract advises.
            if self.network.world.one_in(3) {
                let _ = self.cancel().await;
            }
            return;
        };
        self.think().await;
        match plan {
            Plan::Buy | Plan::BuyPart => drop(self.confirm(LatePolicy::Reject).await),
            Plan::BuyExtended => {
                let _ = self.extend(&held, LatePolicy::Reject).await;
                self.think().await;
                let _ = self.confirm(LatePolicy::Reject).await;
            }
            Plan::ConfirmLate => {
                self.oversleep().await;
                if self.confirm(LatePolicy::Reject).await.is_err() {
                    let _ = self.cancel().await;
                }
            }
            Plan::ReacquireLate => {
                self.oversleep().await;
                let _ = self.confirm(LatePolicy::Reacquire).await;
            }
            Plan::ReviveLate => {
                self.oversleep().await;
                if let Ok(held) = self.extend(&held, LatePolicy::Reacquire).await
                    && held.state == State::Held
                {
                    let _ = self.confirm(LatePolicy::Reject).await;
                }
            }
            Plan::Abandon => drop(self.cancel().await),
            Plan::Lapse | Plan::CancelFirst => {}
            Plan::CancelWhileConfirming => {
                let confirm = async {
                    let _ = self.confirm(LatePolicy::Reacquire).await;
                };
                let cancel = async {
                    sleep(self.network.world.ms(0..=20)).await;
                    let _ = self.cancel().await;
                };
                join(confirm, cancel).await;
            }
            Plan::AllAtOnce => {
                if self.network.world.one_in(2) {
                    self.oversleep().await;
                }
                let in_a_moment = async || sleep(self.network.world.ms(0..=20)).await;
                let confirm = async {
                    in_a_moment().await;
                    let _ = self.confirm(LatePolicy::Reacquire).await;
                };
                let cancel = async {
                    in_a_moment().await;
                    let _ = self.cancel().await;
                };
                let extend = async {
                    in_a_moment().await;
                    let _ = self.extend(&held, LatePolicy::Reacquire).await;
                };
                join3(confirm, cancel, extend).await;
            }
            Plan::ConfirmTwice => {
                let _ = join(self.confirm(LatePolicy::Reject), self.confirm(LatePolicy::Reacquire)).await;
            }
            Plan::ReuseTheId => {
                let other = lines(&[("a", 77)]);
                let _ = self.ask(Request::Reserve { lines: other, ttl_ms: self.ttl_ms }).await;
                let _ = self.confirm(LatePolicy::Reject).await;
            }
            Plan::ContradictTheConfirm => {
                if self.confirm(LatePolicy::Reject).await.is_ok() {
                    let part = Some(lines(&[("a", 77)]));
                    let _ = self.ask(Request::Confirm { part, late: LatePolicy::Reject }).await;
                }
            }
        }
        if self.network.world.one_in(4) {
            let _ = self.ask(Request::Get).await;
        }
    }

    async fn reserve(&self) -> Result<Reservation, Error> {
        self.ask(Request::Reserve { lines: self.lines.clone(), ttl_ms: self.ttl_ms }).await
    }

    async fn confirm(&self, late: LatePolicy) -> Result<Reservation, Error> {
        self.ask(Request::Confirm { part: self.part.clone(), late }).await
    }

    async fn cancel(&self) -> Result<Reservation, Error> {
        self.ask(Request::Cancel).await
    }

    /// Asks for an expire time later than the current one.
    async fn extend(&self, held: &Reservation, late: LatePolicy) -> Result<Reservation, Error> {
        let world = &self.network.world;
        let from_ms = held.expire_ms.unwrap_or(0).max(world.clock.now_ms());
        let expire_ms = from_ms + world.draw(|rng| rng.u64(5_000..=60_000));
        self.ask(Request::Extend { expire_ms, late }).await
    }

    async fn ask(&self, request: Request) -> Result<Reservation, Error> {
        self.network.until_definite(self.order, &request).await
    }

    async fn think(&self) {
        sleep(self.network.world.ms(0..=3000)).await;
    }

    async fn oversleep(&self) {
        sleep(Duration::from_millis(self.ttl_ms.min(10_000)) + self.network.world.ms(0..=2000)).await;
    }
}
