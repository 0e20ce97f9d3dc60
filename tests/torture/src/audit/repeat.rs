//! Accepted requests are repeated, and must change nothing further (I8).

use std::time::Duration;

use futures::future::join_all;
use stockhold_servers::patience::within;

use crate::audit::books;
use crate::caller::{ask_once, receive};
use crate::order::{Ask, End, Heard};
use crate::run::{LOCATIONS, Run, SharedOrder, locked};
use crate::world::World;

/// One order in this many is repeated.
const ORDERS_PER_REPEAT: usize = 10;

/// One receipt in this many is repeated.
const RECEIPTS_PER_REPEAT: usize = 5;

/// This many orders are repeated at the same time.
const AT_ONCE: usize = 16;

/// Both stores work by then. A call may still fail when the machine is so busy that a store answers late.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Repeats a sample of the accepted requests. The answers and the books must stay as they are.
pub(super) async fn repeat_all(world: &World, run: &Run) {
    let mut before = Vec::new();
    for location in LOCATIONS {
        before.push(books::read(world, run, location).await);
    }
    let sample: Vec<_> = run.orders().into_iter().enumerate().step_by(ORDERS_PER_REPEAT).collect();
    for some in sample.chunks(AT_ONCE) {
        join_all(some.iter().map(|(index, order)| repeat(run, order, *index))).await;
    }
    for (index, receipt) in run.receipts().iter().enumerate().step_by(RECEIPTS_PER_REPEAT) {
        receive(run, receipt, index).await;
    }
    for (location, before) in LOCATIONS.into_iter().zip(before) {
        let after = books::read(world, run, location).await;
        if after != before {
            run.violation(format!("repeats changed the books of {location} from {before:?} to {after:?}"));
        }
    }
}

/// The auditor of the order judges these answers too. Here an answer must come, and it must be the same as before.
async fn repeat(run: &Run, order: &SharedOrder, index: usize) {
    let (end, may_be_forgotten) = {
        let order = locked(order);
        (order.told().end, order.may_be_forgotten())
    };
    let Some(end) = end else { return };
    let confirm = Ask::Confirm { reacquire: false };
    let done = |state| Heard::Done(state);
    let refused = |reason: &str| Heard::Refused(reason.to_owned());
    use stockhold::grpc::v1::ReservationState::{Cancelled, Confirmed, Rejected};
    let mut asks = match end {
        End::Confirmed => vec![(confirm, done(Confirmed)), (Ask::Cancel, refused("RESERVATION_CONFIRMED"))],
        End::Cancelled => vec![(Ask::Cancel, done(Cancelled)), (confirm, refused("RESERVATION_CANCELLED"))],
        End::Rejected => vec![(Ask::Cancel, done(Rejected)), (confirm, refused("RESERVATION_REJECTED"))],
    };
    // A Redis that lost data may hold the order again until its deadline. Reserve is asked first, to see that nothing
    // comes of it.
    let reserve = match end {
        End::Confirmed => done(Confirmed),
        End::Cancelled => refused("RESERVATION_CANCELLED"),
        End::Rejected => refused("RESERVATION_REJECTED"),
    };
    if !may_be_forgotten {
        asks.insert(0, (Ask::Reserve, reserve));
    }
    for (number, (ask, expected)) in asks.into_iter().enumerate() {
        let clients = &run.clients[(index / ORDERS_PER_REPEAT + number) % run.clients.len()];
        let mut heard = None;
        within(ANSWER_MAX, async || {
            heard = ask_once(run, order, clients[0].clone(), ask).await.ok();
            heard.is_some()
        })
        .await;
        if heard.as_ref() != Some(&expected) {
            let order = locked(order);
            run.violation(format!("repeated, {ask:?} is answered {heard:?} instead of {expected:?}; {order}"));
        }
    }
}
