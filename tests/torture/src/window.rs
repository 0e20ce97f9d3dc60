//! Short windows of concurrent calls at both instances, each on one fresh sku, while a fault acts. The answers are
//! checked for linearizability, and what is left is compared with what was sold.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures::future::join_all;
use stockhold::grpc::v1;
use stockhold_servers::patience::within;
use tonic::{Response, Status};

use crate::client::{Answer, Client, Unknown, call, to_lines};
use crate::history::{History, Op, Ret};
use crate::order::End;
use crate::plan::rng;
use crate::run::{BUSY, Ended, Run, Stock, count};

/// Enough calls for callers to meet, and few enough to search all their sequences.
const CALLERS: usize = 5;
const CALLS_EACH: usize = 5;
const ORDERS: usize = 6;

/// A caller that has lost this many answers stops. Each unknown outcome multiplies what is possible.
const LOST_MAX: usize = 2;

/// More windows than there is time for. As many skus as one request may set.
const WINDOWS_MAX: usize = 100;

/// The pause between two looks whether windows may begin.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Longer than a window lasts, and the maximum that the instances allow.
const TTL_SECONDS: i64 = 120;

/// By then every fault is over and healed.
const END_MAX: Duration = Duration::from_secs(90);

/// Windows draw from another generator than callers.
const WINDOWS: u64 = 1 << 33;

/// Draws the windows of a run and sets their stock, because MySQL may be away once the fault acts.
pub(crate) async fn prepare(run: &Run) -> Vec<Window> {
    let mut rng = rng(run.seed, run.number, WINDOWS);
    let windows: Vec<_> = (0..WINDOWS_MAX).map(|number| Window::draw(run, number, &mut rng)).collect();
    let item = |window: &Window| v1::SetStockItem {
        sku: window.name.clone(),
        on_hand: window.on_hand.into(),
        ..Default::default()
    };
    run.add_stock(windows.iter().map(Window::stock));
    let (location, request_id) = (BUSY[0].to_owned(), format!("w{}", run.number));
    let request = v1::SetStockRequest { location, request_id, items: windows.iter().map(item).collect() };
    let mut client = run.clients[0][0].clone();
    let set = within(END_MAX, async || client.stock.set_stock(request.clone()).await.is_ok()).await;
    assert!(set.is_some(), "the stock of the windows of run {} is not set within {END_MAX:?}", run.number);
    windows
}

/// Runs one window after the other until the run is over, and answers those that ran. It waits until Redis loses no
/// more data, since what Redis forgets is not linearizable.
pub(crate) async fn watch(run: Arc<Run>, mut windows: Vec<Window>) -> Vec<Window> {
    let mut looked = 0;
    while run.permits().forgets {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    for window in &windows {
        if run.is_over() {
            break;
        }
        window.look(&run).await;
        looked += 1;
    }
    windows.truncate(looked);
    windows
}

/// Ends every order of these windows, and judges all their answers.
pub(crate) async fn close(run: &Run, windows: Vec<Window>) {
    if windows.is_empty() {
        run.violation("there was no window");
    }
    for window in windows {
        window.close(run).await;
        count(&run.counts.windows);
    }
}

pub(crate) struct Window {
    name: String,
    history: History,
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
        let on_hand = rng.u32(5..=8);
        // Nothing else of the run has this prefix.
        Self { name: format!("{}{number}", run.window_prefix()), history: History::new(on_hand), on_hand, units, calls }
    }

    fn stock(&self) -> Stock {
        Stock { location: BUSY[0], sku: self.name.clone(), on_hand: self.on_hand.into(), floor: 0 }
    }

    /// Runs all callers of the window at once.
    async fn look(&self, run: &Run) {
        let all = self.calls.iter().enumerate().map(async |(caller, ops)| {
            let (client, mut lost) = (self.client(run, caller), 0);
            for op in ops {
                lost += usize::from(self.ask(run, &client, *op).await.is_none());
                if lost == LOST_MAX {
                    return;
                }
            }
        });
        join_all(all).await;
    }

    /// Once all is well, cancels every order and compares what is left with what was sold.
    async fn close(&self, run: &Run) {
        let mut sold = 0;
        for (order, units) in self.units.iter().enumerate() {
            let (client, mut end) = (self.client(run, order), None);
            let ended = within(END_MAX, async || {
                end = self.ask(run, &client, Op::Cancel { order }).await;
                matches!(end, Some(Ret::Cancelled | Ret::Refused(_)))
            });
            let end = match (ended.await, end) {
                (Some(_), Some(Ret::Cancelled)) => Some(End::Cancelled),
                (Some(_), Some(Ret::Refused(reason))) if reason == "RESERVATION_CONFIRMED" => {
                    sold += i64::from(*units);
                    Some(End::Confirmed)
                }
                (_, end) => {
                    run.violation(format!("window {}: order {order} ends as {end:?}", self.name));
                    None
                }
            };
            let part = vec![(self.name.clone(), *units)];
            run.add_ended(Ended { id: self.id(order), location: BUSY[0].to_owned(), end, part });
        }
        let left = Some(Ret::Available(i64::from(self.on_hand) - sold));
        let (client, mut told) = (self.client(run, 0), None);
        let is_left = within(END_MAX, async || {
            // It is repeated many times, so it is not recorded.
            told = self.call(run, client.clone(), Op::Available).await;
            told == left
        });
        if is_left.await.is_none() {
            run.violation(format!("window {}: {sold} were sold, {left:?} should be left, {told:?} are", self.name));
        }
        if let Err(found) = self.history.check() {
            run.violation(format!("window {}: {found}", self.name));
        }
    }

    fn id(&self, order: usize) -> String {
        format!("{}-{order}", self.name)
    }

    /// Callers are spread over both instances.
    fn client(&self, run: &Run, caller: usize) -> Client {
        let clients = &run.clients[caller % run.clients.len()];
        clients[caller % clients.len()].clone()
    }

    /// Makes a call and records it.
    async fn ask(&self, run: &Run, client: &Client, op: Op) -> Option<Ret> {
        let invocation = self.history.invoke(op);
        let ret = self.call(run, client.clone(), op).await;
        if let Some(ret) = &ret {
            self.history.returned(invocation, ret.clone());
        }
        ret
    }

    /// Sends a call and answers what the caller is told. None if the outcome is unknown.
    async fn call(&self, run: &Run, mut client: Client, op: Op) -> Option<Ret> {
        let location = BUSY[0].to_owned();
        match op {
            Op::Reserve { order, units } => {
                let lines = to_lines(&[(self.name.clone(), units)]);
                let ttl = Some(prost_types::Duration { seconds: TTL_SECONDS, nanos: 0 });
                let request = v1::ReserveRequest { location, reservation_id: self.id(order), lines, ttl };
                answered(run, client.reservations.reserve(request), |answer| state(answer.reservation)).await
            }
            Op::Confirm { order } => {
                let request = v1::ConfirmRequest { location, reservation_id: self.id(order), ..Default::default() };
                answered(run, client.reservations.confirm(request), |answer| state(answer.reservation)).await
            }
            Op::Cancel { order } => {
                let request = v1::CancelRequest { location, reservation_id: self.id(order) };
                answered(run, client.reservations.cancel(request), |answer| state(answer.reservation)).await
            }
            Op::Available => {
                let request = v1::GetStockRequest { location, skus: vec![self.name.clone()] };
                let available = |answer: v1::GetStockResponse| Ret::Available(answer.items[0].available);
                answered(run, client.stock.get_stock(request), available).await
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
    run: &Run,
    future: impl Future<Output = Result<Response<T>, Status>>,
    ret: impl FnOnce(T) -> Ret,
) -> Option<Ret> {
    match call(future).await {
        Answer::Ok(answer) => Some(ret(answer)),
        Answer::Unknown(Unknown::NothingDone) => Some(Ret::NothingDone),
        Answer::Unknown(Unknown::Outcome | Unknown::Broken) => None,
        Answer::Unknown(Unknown::Hung(bound)) => {
            run.violation(format!("a call of a window hangs: no answer within {bound:?}"));
            None
        }
        Answer::Refused(refused) if refused.reason == "INSUFFICIENT_STOCK" => Some(Ret::Short),
        Answer::Refused(refused) => Some(Ret::Refused(refused.reason)),
    }
}
