//! Callers carry out plans. They repeat a request under the same id until they have a definite answer.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join;
use stockhold::grpc::v1;
use tonic::{Response, Status};

use crate::client::{Answer, Client, Unknown, call, to_lines};
use crate::order::{Ask, Heard, Order, now_ms};
use crate::plan::{Course, Plan, rng};
use crate::run::{BUSY, Receipt, Run, SUPPLIES, SharedOrder, count, locked};

/// By then every fault is over and healed. A caller without a definite answer is a violation.
const DEFINITE_MAX: Duration = Duration::from_secs(90);

/// The pause between two tries. It grows with the first few of them.
const PAUSE: Duration = Duration::from_millis(20);

/// How much later than told an Extend asks an order to expire.
const EXTENSION_MS: u64 = 2_000;

/// The pause between two receipts of one keeper.
const RECEIPT_EVERY: Duration = Duration::from_millis(60);

/// Keepers draw from another generator than callers.
const KEEPER: u64 = 1 << 32;

/// Runs one order after the other until the run is over.
pub(crate) async fn orders(run: Arc<Run>, caller: usize) {
    let mut rng = rng(run.seed, run.number, caller as u64);
    let mut number = 0;
    while !run.is_over() {
        let plan = Plan::draw(&mut rng, &run);
        let id = format!("{}o{caller}-{number}", run.prefix());
        Errand::new(&run, caller, id, plan).carry_out().await;
        number += 1;
    }
}

/// Sends one receipt after the other until the run is over.
pub(crate) async fn receipts(run: Arc<Run>, keeper: usize) {
    let mut rng = rng(run.seed, run.number, KEEPER + keeper as u64);
    let supplies: Vec<_> = SUPPLIES.iter().filter(|supply| supply.receipt > 0).collect();
    let mut number = 0;
    while !run.is_over() {
        let supply = supplies[rng.usize(0..supplies.len())];
        let receipt = Receipt {
            location: BUSY[keeper % BUSY.len()].to_owned(),
            request_id: format!("{}k{keeper}-{number}", run.prefix()),
            sku: supply.sku(&run),
            units: rng.i64(1..=supply.receipt),
        };
        if receive(&run, &receipt, keeper).await {
            if rng.f64() < 0.2 {
                receive(&run, &receipt, keeper + 1).await;
            }
            run.add_receipt(receipt);
        }
        number += 1;
        tokio::time::sleep(RECEIPT_EVERY).await;
    }
}

/// Repeats a receipt until it is known to be in the books. Taking too long or a refusal is a violation, and answers
/// false.
pub(crate) async fn receive(run: &Run, receipt: &Receipt, first: usize) -> bool {
    let begin = Instant::now();
    for tries in 0.. {
        let mut client = connection(run, first + tries, first);
        let request = v1::AdjustStockRequest {
            location: receipt.location.clone(),
            request_id: receipt.request_id.clone(),
            reason: "receipt".to_owned(),
            changes: vec![v1::StockChange { sku: receipt.sku.clone(), delta: receipt.units }],
        };
        match counted(run, client.stock.adjust_stock(request)).await {
            Answer::Ok(_) => return true,
            Answer::Refused(refused) => {
                run.violation(format!("receipt {} was refused: {refused:?}", receipt.request_id));
                return false;
            }
            Answer::Unknown(_) if begin.elapsed() > DEFINITE_MAX => break,
            Answer::Unknown(_) => pause(tries, first).await,
        }
    }
    run.violation(format!("receipt {} has no definite answer within {DEFINITE_MAX:?}", receipt.request_id));
    false
}

/// A connection to one instance. Callers take turns with the instances and spread over the connections.
fn connection(run: &Run, instance: usize, caller: usize) -> Client {
    let clients = &run.clients[instance % run.clients.len()];
    clients[caller % clients.len()].clone()
}

async fn pause(tries: usize, caller: usize) {
    // Callers must not begin at the same moment.
    let offset = Duration::from_millis(caller as u64 % 16);
    tokio::time::sleep(PAUSE * (1 + tries.min(4) as u32) + offset).await;
}

/// Makes a call, counts it, and reports one that hangs.
async fn counted<T>(run: &Run, future: impl Future<Output = Result<Response<T>, Status>>) -> Answer<T> {
    count(&run.counts.requests);
    let answer = call(future).await;
    if let Answer::Unknown(Unknown::Hung(bound)) = &answer {
        run.violation(format!("a call hangs: no answer within {bound:?}"));
    }
    count(match &answer {
        Answer::Ok(_) => &run.counts.acknowledged,
        Answer::Refused(_) => &run.counts.refused,
        Answer::Unknown(_) => &run.counts.unknown,
    });
    answer
}

/// An order and what its callers want of it.
pub(crate) struct Errand {
    run: Arc<Run>,
    caller: usize,
    order: SharedOrder,
    plan: Plan,
}

impl Errand {
    pub(crate) fn new(run: &Arc<Run>, caller: usize, id: String, plan: Plan) -> Self {
        let plenty = SUPPLIES.iter().filter(|supply| supply.is_plenty).map(|supply| supply.sku(run)).collect();
        let Plan { lines, part, location, ttl_ms, .. } = plan.clone();
        let order = Order::new(id, location.to_owned(), lines, part, ttl_ms, run.permits(), plenty);
        let order = Arc::new(Mutex::new(order));
        run.add_order(&order);
        Self { run: run.clone(), caller, order, plan }
    }

    async fn carry_out(&self) {
        let reserved = self.definite(Ask::Reserve).await;
        let Some(Heard::Done(_)) = reserved else {
            // An earlier try whose answer was lost may hold it all the same.
            if self.plan.tidy {
                self.definite(Ask::Cancel).await;
            }
            return;
        };
        let confirm = Ask::Confirm { reacquire: false };
        match self.plan.course {
            Course::Confirm | Course::ConfirmPart => drop(self.definite(confirm).await),
            Course::Cancel => drop(self.definite(Ask::Cancel).await),
            Course::Expire => return,
            Course::ExpireThenReacquire => {
                self.expired().await;
                self.definite(Ask::Confirm { reacquire: true }).await;
            }
            Course::ExpireThenCancel => {
                self.expired().await;
                self.definite(Ask::Cancel).await;
            }
            Course::ExtendThenConfirm => {
                self.definite(self.extension(true)).await;
                self.definite(confirm).await;
            }
            Course::Race => {
                join(self.definite(confirm), self.definite(Ask::Cancel)).await;
                self.definite(Ask::Get).await;
            }
        }
        self.finish().await;
    }

    /// Cancels an order that has no end yet. After a refusal that is not final, an earlier try may still take effect.
    pub(crate) async fn finish(&self) {
        if locked(&self.order).told().end.is_none() {
            self.definite(Ask::Cancel).await;
        }
    }

    pub(crate) fn id(&self) -> String {
        locked(&self.order).id.clone()
    }

    /// An Extend to a later time than callers were told.
    pub(crate) fn extension(&self, reacquire: bool) -> Ask {
        let told_ms = locked(&self.order).told().expire_ms;
        Ask::Extend { until_ms: told_ms.unwrap_or_else(now_ms) + EXTENSION_MS, reacquire }
    }

    /// Sends both calls once to one instance, and answers whether they succeeded.
    pub(crate) async fn reserve_and_confirm(&self) -> bool {
        for ask in [Ask::Reserve, Ask::Confirm { reacquire: false }] {
            if !matches!(self.once(self.plan.instance, ask).await, Ok(Heard::Done(_))) {
                return false;
            }
        }
        true
    }

    /// Waits until the hold has expired.
    async fn expired(&self) {
        let told_ms = locked(&self.order).told().expire_ms;
        let left_ms = told_ms.unwrap_or_default().saturating_sub(now_ms());
        tokio::time::sleep(Duration::from_millis(left_ms + 1)).await;
    }

    /// Repeats a call until there is a definite answer, then perhaps once more at the other instance. Taking too long
    /// is a violation, and answers `None`.
    async fn definite(&self, ask: Ask) -> Option<Heard> {
        if let Some(after) = self.plan.gives_up_after {
            // The caller hangs up. What it began runs on.
            if tokio::time::timeout(after, self.once(self.plan.instance, ask)).await.is_err() {
                count(&self.run.counts.unknown);
            }
        }
        let begin = Instant::now();
        let mut tries = 0;
        let heard = loop {
            if let Ok(heard) = self.once(self.plan.instance + tries, ask).await {
                break heard;
            }
            if begin.elapsed() > DEFINITE_MAX {
                let order = locked(&self.order);
                self.run.violation(format!("{ask:?} has no definite answer within {DEFINITE_MAX:?}; {order}"));
                return None;
            }
            pause(tries, self.caller).await;
            tries += 1;
        };
        if self.plan.duplicates && matches!(heard, Heard::Done(_)) {
            // The answer matters only to the auditor, which has judged it.
            let _ = self.once(self.plan.instance + 1, ask).await;
        }
        Some(heard)
    }

    /// Sends a call once and has the answer audited.
    pub(crate) async fn once(&self, instance: usize, ask: Ask) -> Result<Heard, Unknown> {
        ask_once(&self.run, &self.order, connection(&self.run, instance, self.caller), ask).await
    }
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        locked(&self.order).fmt(f)
    }
}

/// Sends a call once and has the answer audited. The error says why there is no definite answer.
pub(crate) async fn ask_once(run: &Run, order: &SharedOrder, client: Client, ask: Ask) -> Result<Heard, Unknown> {
    let (before, request) = {
        let mut order = locked(order);
        let before = order.ask(ask);
        (before, send(client, &order, ask))
    };
    let answer = counted(run, request).await;
    if let Err(wrong) = locked(order).hear(ask, before, &answer) {
        run.violation(wrong);
    }
    match answer {
        Answer::Ok(reservation) => Ok(Heard::Done(reservation.state())),
        Answer::Refused(refused) => Ok(Heard::Refused(refused.reason)),
        Answer::Unknown(why) => Err(why),
    }
}

/// Prepares the call.
fn send(
    mut client: Client,
    order: &Order,
    ask: Ask,
) -> impl Future<Output = Result<Response<v1::Reservation>, Status>> + use<> {
    let (location, reservation_id) = (order.location.clone(), order.id.clone());
    let (lines, part) = (to_lines(&order.lines), to_lines(&order.part));
    // No lines means all lines, which must come to the same.
    let part = if lines == part { Vec::new() } else { part };
    let ttl = Some(prost_types::Duration {
        seconds: (order.ttl_ms / 1000) as i64,
        nanos: (order.ttl_ms % 1000 * 1_000_000) as i32,
    });
    async move {
        let reservations = &mut client.reservations;
        match ask {
            Ask::Reserve => {
                let request = v1::ReserveRequest { location, reservation_id, lines, ttl };
                reservations.reserve(request).await.map(|answer| answer.map(|it| it.reservation))
            }
            Ask::Confirm { reacquire } => {
                let late_policy = late_policy(reacquire);
                let request = v1::ConfirmRequest { location, reservation_id, lines: part, late_policy };
                reservations.confirm(request).await.map(|answer| answer.map(|it| it.reservation))
            }
            Ask::Cancel => {
                let request = v1::CancelRequest { location, reservation_id };
                reservations.cancel(request).await.map(|answer| answer.map(|it| it.reservation))
            }
            Ask::Extend { until_ms, reacquire } => {
                let expire_time = Some(prost_types::Timestamp {
                    seconds: (until_ms / 1000) as i64,
                    nanos: (until_ms % 1000 * 1_000_000) as i32,
                });
                let late_policy = late_policy(reacquire);
                let request = v1::ExtendRequest { location, reservation_id, expire_time, late_policy };
                reservations.extend(request).await.map(|answer| answer.map(|it| it.reservation))
            }
            Ask::Get => {
                let request = v1::GetReservationRequest { location, reservation_id };
                reservations.get_reservation(request).await.map(|answer| answer.map(|it| it.reservation))
            }
        }
        .map(|answer| answer.map(Option::unwrap_or_default))
    }
}

fn late_policy(reacquire: bool) -> i32 {
    let policy = if reacquire { v1::LatePolicy::Reacquire } else { v1::LatePolicy::Reject };
    policy.into()
}
