//! Short windows of calls at once for one fresh sku, at both instances, while a fault acts: each is checked for linearizability, and for what it leaves behind.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures::future::join_all;
use stockhold::grpc::v1;
use tonic::{Response, Status};
use tonic_types::StatusExt;

use crate::client::{CALL_MAX, Client, to_lines};
use crate::history::{History, Op, Ret};
use crate::patience::within;
use crate::plan::rng;
use crate::run::{LOCATIONS, Run, count};

/// A window's calls: enough to meet, few enough to try their orders.
const CALLERS: usize = 5;
const CALLS_EACH: usize = 5;
const ORDERS: usize = 6;

/// Who has lost so many answers leaves: what is unknown makes everything possible.
const LOST_MAX: usize = 1;

/// Longer than a window lasts, and the most that the instances allow.
const TTL_SECONDS: i64 = 120;

/// By then every fault is over and healed.
const END_MAX: Duration = Duration::from_secs(90);

/// The random numbers of windows are not those of callers.
const WINDOWS: u64 = 1 << 33;

/// One window after the other, until the run is over.
pub(crate) async fn watch(run: Arc<Run>) {
    let mut rng = rng(run.seed, run.number, WINDOWS);
    let mut number = 0;
    while !run.is_over() {
        Window::draw(&run, number, &mut rng).look(&run).await;
        number += 1;
    }
}

struct Window {
    name: String,
    on_hand: u32,
    /// How many units each order wants.
    units: Vec<u32>,
    calls: Vec<Vec<Op>>,
}

impl Window {
    fn draw(run: &Run, number: usize, rng: &mut Rng) -> Self {
        let units: Vec<_> = (0..ORDERS).map(|_| rng.u32(1..=3)).collect();
        let mut op = || {
            let order = rng.usize(0..ORDERS);
            match rng.u32(0..10) {
                0..4 => Op::Reserve { order, units: units[order] },
                4..6 => Op::Confirm { order },
                6..8 => Op::Cancel { order },
                _ => Op::Available,
            }
        };
        let calls = (0..CALLERS).map(|_| (0..CALLS_EACH).map(|_| op()).collect()).collect();
        // Nothing else of the run begins so: its audits are about other skus and orders.
        Self { name: format!("w{}-{number}", run.number), on_hand: rng.u32(5..=8), units, calls }
    }

    async fn look(&self, run: &Run) {
        let client = |caller: usize| run.clients[caller % 2][caller / 2 % run.clients[caller % 2].len()].clone();
        if within(END_MAX, async || self.stock_up(client(0)).await.is_some()).await.is_none() {
            run.violation(format!("the stock of window {} is not set within {END_MAX:?}", self.name));
            return;
        }
        let history = History::new(self.on_hand);
        join_all(self.calls.iter().enumerate().map(|(caller, ops)| self.make_calls(client(caller), ops, &history)))
            .await;
        count(&run.counts.windows);
        if let Err(found) = history.check() {
            run.violation(format!("window {}: {found}", self.name));
        }

        let mut sold = 0;
        for (order, units) in self.units.iter().enumerate() {
            let mut end = None;
            let ended = within(END_MAX, async || {
                end = self.call(client(order), Op::Cancel { order }).await;
                matches!(end, Some(Ret::Cancelled | Ret::Refused(_)))
            });
            match (ended.await, end) {
                (Some(_), Some(Ret::Cancelled)) => {}
                (Some(_), Some(Ret::Refused(reason))) if reason == "RESERVATION_CONFIRMED" => sold += i64::from(*units),
                (_, end) => run.violation(format!("window {}: order {order} ends as {end:?}", self.name)),
            }
        }
        let left = Some(Ret::Available(i64::from(self.on_hand) - sold));
        let mut told = None;
        let is_left = within(END_MAX, async || {
            told = self.call(client(0), Op::Available).await;
            told == left
        });
        if is_left.await.is_none() {
            run.violation(format!("window {}: {sold} were sold, {left:?} should be left, {told:?} are", self.name));
        }
    }

    async fn stock_up(&self, mut client: Client) -> Option<()> {
        let item = v1::SetStockItem { sku: self.name.clone(), on_hand: self.on_hand.into(), ..Default::default() };
        let (location, request_id) = (LOCATIONS[0].to_owned(), self.name.clone());
        let request = v1::SetStockRequest { location, request_id, items: vec![item] };
        client.stock.set_stock(request).await.ok().map(drop)
    }

    async fn make_calls(&self, client: Client, ops: &[Op], history: &History) {
        let mut lost = 0;
        for op in ops {
            let invocation = history.invoke(*op);
            match self.call(client.clone(), *op).await {
                Some(ret) => history.returned(invocation, ret),
                None if lost == LOST_MAX => return,
                None => lost += 1,
            }
        }
    }

    /// What a caller is told; nothing where the outcome is unknown.
    async fn call(&self, mut client: Client, op: Op) -> Option<Ret> {
        let location = LOCATIONS[0].to_owned();
        let id = |order: usize| format!("{}-{order}", self.name);
        match op {
            Op::Reserve { order, units } => {
                let lines = to_lines(&[(self.name.clone(), units)]);
                let ttl = Some(prost_types::Duration { seconds: TTL_SECONDS, nanos: 0 });
                let request = v1::ReserveRequest { location, reservation_id: id(order), lines, ttl };
                answered(client.reservations.reserve(request), |answer| state(answer.reservation)).await
            }
            Op::Confirm { order } => {
                let request = v1::ConfirmRequest { location, reservation_id: id(order), ..Default::default() };
                answered(client.reservations.confirm(request), |answer| state(answer.reservation)).await
            }
            Op::Cancel { order } => {
                let request = v1::CancelRequest { location, reservation_id: id(order) };
                answered(client.reservations.cancel(request), |answer| state(answer.reservation)).await
            }
            Op::Available => {
                let request = v1::GetStockRequest { location, skus: vec![self.name.clone()] };
                let available = |answer: v1::GetStockResponse| Ret::Available(answer.items[0].available);
                answered(client.stock.get_stock(request), available).await
            }
        }
    }
}

fn state(reservation: Option<v1::Reservation>) -> Ret {
    match reservation.map(|reservation| reservation.state()) {
        Some(v1::ReservationState::Held) => Ret::Held,
        Some(v1::ReservationState::Confirming) => Ret::Confirming,
        Some(v1::ReservationState::Confirmed) => Ret::Confirmed,
        Some(v1::ReservationState::Cancelled) => Ret::Cancelled,
        state => Ret::Refused(format!("an answer in state {state:?}")),
    }
}

async fn answered<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
    ret: impl FnOnce(T) -> Ret,
) -> Option<Ret> {
    let status = match tokio::time::timeout(CALL_MAX, call).await.ok()? {
        Ok(answer) => return Some(ret(answer.into_inner())),
        Err(status) => status,
    };
    let details = status.get_error_details();
    // An error without a reason is a connection that broke.
    match details.error_info()?.reason.as_str() {
        "STORE_UNAVAILABLE" | "OVERLOADED" => Some(Ret::NothingDone),
        "OUTCOME_UNKNOWN" => None,
        "INSUFFICIENT_STOCK" => Some(Ret::Short),
        reason => Some(Ret::Refused(reason.to_owned())),
    }
}
