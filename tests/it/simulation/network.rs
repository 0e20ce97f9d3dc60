//! The network between callers and instances. It delays, repeats, reorders and loses messages; callers lose patience.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use stockhold::domain::Reservation;
use stockhold::service::{Error, Service};
use tokio::time::{Instant, sleep, timeout};

use super::auditor::{Request, sent, told};
use super::cluster::Instance;
use super::invariants;
use super::world::World;

/// A caller hangs if it has no definite answer by then. All faults together last far less.
const DEFINITE_MAX: Duration = Duration::from_secs(900);

/// A call that takes longer hangs, because each of its steps ends within seconds.
const CALL_MAX: Duration = Duration::from_secs(120);

/// The instances that callers know.
pub(crate) struct Network {
    pub(crate) world: Arc<World>,
    instances: Mutex<Vec<Arc<Instance>>>,
    /// A restarted instance is a new client to the stores.
    next_client: AtomicUsize,
}

impl Network {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        let count = world.profile.instances;
        let instances = Mutex::new((0..count).map(|client| Instance::start(world, client)).collect());
        Arc::new(Self { world: Arc::clone(world), instances, next_client: AtomicUsize::new(count) })
    }

    pub(crate) fn instances(&self) -> Vec<Arc<Instance>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a new instance in the place of an old one.
    pub(crate) fn restart(&self, place: usize) {
        let instance = Instance::start(&self.world, self.next_client.fetch_add(1, Ordering::Relaxed));
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)[place] = instance;
    }

    /// Any instance, dead or alive, as chosen by a load balancer that has not noticed yet.
    pub(crate) fn any(&self) -> Arc<Instance> {
        let instances = self.instances();
        let place = self.world.draw(|rng| rng.usize(0..instances.len()));
        Arc::clone(&instances[place])
    }

    /// Sends a request once. The request may arrive twice, at two instances, at any time. `None`: the caller has no
    /// answer.
    pub(crate) async fn call(self: &Arc<Self>, order: usize, request: &Request) -> Option<Result<Reservation, Error>> {
        if self.world.one_in(12) {
            self.world.event("duplicated", &order);
            let (network, request, after) = (Arc::clone(self), request.clone(), self.world.ms(0..=8000));
            tokio::spawn(async move {
                sleep(after).await;
                network.deliver(order, request).await;
            });
        }
        let patience = if self.world.one_in(10) { self.world.ms(1..=300) } else { self.world.ms(3_000..=20_000) };
        let (network, request) = (Arc::clone(self), request.clone());
        // The call runs to its end even if its caller stops waiting.
        let answer = tokio::spawn(async move { network.deliver(order, request).await });
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panicked)) => {
                self.world.violated(format!("a call panicked: {panicked}"));
                None
            }
            Err(_) => {
                self.world.event("caller left", &order);
                None
            }
        }
    }

    /// Repeats a request until an answer says what became of it. Some callers give up before; what they began must come
    /// to its end all the same.
    pub(crate) async fn until_definite(
        self: &Arc<Self>,
        order: usize,
        request: &Request,
    ) -> Result<Reservation, Error> {
        let begun = Instant::now();
        loop {
            match self.call(order, request).await {
                Some(Ok(reservation)) => return Ok(reservation),
                Some(Err(error @ (Error::Refused(_) | Error::Internal(_)))) => return Err(error),
                Some(Err(_)) | None => self.world.event("unknown", &order),
            }
            if self.world.one_in(25) {
                self.world.event("gave up", &order);
                return Err(Error::Overloaded);
            }
            if begun.elapsed() > DEFINITE_MAX && !self.world.has_violations() {
                self.world
                    .violated(format!("no definite answer to {request:?} of order {order} after {DEFINITE_MAX:?}"));
                return Err(Error::Overloaded);
            }
            sleep(self.world.ms(10..=2000)).await;
        }
    }

    /// I8: accepted requests are repeated in any order, and change nothing.
    pub(crate) async fn repeat_all_that_was_accepted(&self) {
        let world = &self.world;
        let mut accepted: Vec<_> = world.audit(|auditor| {
            let orders = auditor.orders.iter().enumerate();
            orders
                .flat_map(|(number, order)| order.accepted.iter().map(move |request| (number, request.clone())))
                .collect()
        });
        world.draw(|rng| rng.shuffle(&mut accepted));
        let (tables, held) = (world.server.tables(), invariants::held_everywhere(world));
        // Several at a time, so that they share transactions.
        for some in accepted.chunks(4) {
            join_all(some.iter().map(async |(order, request)| {
                let before = sent(world, *order, request);
                let answer = self.run(&self.any().service, *order, request).await;
                told(world, *order, request, &before, &answer);
                // What was cancelled and is forgotten finds no place among few tombstones.
                let finds_no_place = world.profile.forgets && matches!(request, Request::Cancel);
                if finds_no_place && matches!(answer, Err(Error::Overloaded)) {
                    world.event("no place for a tombstone", order);
                } else if let Err(error @ (Error::Unavailable(_) | Error::OutcomeUnknown(_) | Error::Overloaded)) =
                    answer
                {
                    world.violated(format!("{request:?} was answered {error:?} although all is well"));
                }
            }))
            .await;
        }
        if world.server.tables() != tables {
            world.violated("I8: repeating what was accepted changed the ledger".into());
        }
        // A repeated reserve may hold again what the store forgot. A repeated extend may hold again what expired before
        // the store's clock went back. Otherwise holds can only lapse between the two looks.
        let forgot = world.audit(|auditor| auditor.has_forgotten()) || world.profile.clocks_jump;
        let now_held = invariants::held_everywhere(world);
        if !forgot && now_held.iter().any(|(sku, units)| held.get(sku).is_none_or(|before| before < units)) {
            world.violated(format!("I8: repeating what was accepted made held {held:?} to {now_held:?}"));
        }
    }

    async fn deliver(&self, order: usize, request: Request) -> Option<Result<Reservation, Error>> {
        sleep(if self.world.one_in(8) { self.world.ms(0..=2000) } else { self.world.ms(0..=3) }).await;
        let instance = self.any();
        if !instance.is_alive() {
            return None;
        }
        let before = sent(&self.world, order, &request);
        let answer = tokio::select! {
            biased;
            () = instance.death() => return None,
            answer = timeout(CALL_MAX, self.run(&instance.service, order, &request)) => answer,
        };
        let Ok(answer) = answer else {
            self.world.violated(format!("{request:?} of order {order} was not answered within {CALL_MAX:?}"));
            return None;
        };
        told(&self.world, order, &request, &before, &answer);
        if self.world.one_in(30) {
            self.world.event("answer lost", &order);
            return None;
        }
        Some(answer)
    }

    async fn run(&self, service: &Arc<Service>, order: usize, request: &Request) -> Result<Reservation, Error> {
        let (location, id) = self.world.audit(|auditor| auditor.orders[order].key.clone());
        let location = &location;
        match request.clone() {
            Request::Reserve { lines, ttl_ms } => {
                service.reserve(location, id, lines, Duration::from_millis(ttl_ms)).await
            }
            Request::Confirm { part, late } => service.confirm(location, id, part, late).await,
            Request::Cancel => service.cancel(location, id).await,
            Request::Extend { expire_ms, late } => service.extend(location, id, expire_ms, late).await,
            Request::Get => service.get_reservation(location, id).await,
        }
    }
}
