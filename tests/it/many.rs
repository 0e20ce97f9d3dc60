//! Many calls in one message.

use stockhold::grpc::v1;
use stockhold::grpc::v1::outcome::Outcome;
use tonic::{Code, Request};

use crate::support::client::{Caller, refusal};
use crate::support::server::Instance;
use crate::support::session::{came, cancel, confirm, request_id, reserve};
use crate::support::site::{Site, is, lock_row};

#[tokio::test]
async fn many_are_done_one_by_one_and_answered_in_their_order() {
    let service = Instance::embedded().start();
    let mut caller = Caller::connect(service.address()).await;
    caller.set("a", 5).await;

    let mut requests: Vec<_> = (0..7).map(|index| reserve(&format!("o{index}"), &[("a", 1)])).collect();
    requests.insert(3, reserve("", &[("a", 1)]));
    let mut call = Request::new(v1::ReserveManyRequest { requests });
    call.metadata_mut().insert("x-request-id", "sale-1".parse().expect("a value"));
    let outcomes = caller.reservations.reserve_many(call).await.expect("answers").into_inner().outcomes;
    let Some(Outcome::Error(bad)) = outcomes[3].outcome.clone() else { panic!("an empty id was accepted") };
    assert_eq!(request_id(bad), "sale-1/3");
    let came_to: Vec<_> = outcomes.into_iter().map(came).collect();
    assert_eq!(came_to[3], Err(is(Code::InvalidArgument, "INVALID_FIELD")));
    let held = came_to.iter().filter(|came| **came == Ok(v1::ReservationState::Held)).count();
    let short = came_to.iter().filter(|came| **came == Err(is(Code::FailedPrecondition, "INSUFFICIENT_STOCK"))).count();
    assert_eq!((held, short), (5, 2));
    // Those that are there answer to their ids, at the place of their request.
    let ids: Vec<_> = (0..7).map(|index| format!("o{index}")).collect();
    let places = [0, 1, 2, 4, 5, 6, 7];
    let held: Vec<_> = ids.iter().zip(places).filter(|(_, place)| came_to[*place].is_ok()).map(|(id, _)| id).collect();
    for id in &ids {
        assert_eq!(caller.state(id).await.is_ok(), held.contains(&id), "{id}");
    }

    let requests = held[..2].iter().map(|id| confirm(id)).chain([confirm("unknown")]).collect();
    let outcomes = caller.reservations.confirm_many(v1::ConfirmManyRequest { requests }).await.expect("answers");
    let came_to: Vec<_> = outcomes.into_inner().outcomes.into_iter().map(came).collect();
    let not_found = Err(is(Code::NotFound, "RESERVATION_NOT_FOUND"));
    assert_eq!(came_to, [Ok(v1::ReservationState::Confirmed), Ok(v1::ReservationState::Confirmed), not_found]);

    let requests = held[1..].iter().map(|id| cancel(id)).collect();
    let outcomes = caller.reservations.cancel_many(v1::CancelManyRequest { requests }).await.expect("answers");
    let came_to: Vec<_> = outcomes.into_inner().outcomes.into_iter().map(came).collect();
    let confirmed = Err(is(Code::FailedPrecondition, "RESERVATION_CONFIRMED"));
    let cancelled = || Ok(v1::ReservationState::Cancelled);
    assert_eq!(came_to, [confirmed, cancelled(), cancelled(), cancelled()]);
    assert_eq!(caller.counts("a").await, (3, 0, 3));

    for count in [0, 1001] {
        let requests = vec![cancel("x"); count];
        let answer = caller.reservations.cancel_many(v1::CancelManyRequest { requests }).await;
        assert_eq!(refusal(answer), is(Code::InvalidArgument, "INVALID_FIELD"), "{count}");
    }
    assert_eq!(refusal(caller.state("x").await), is(Code::NotFound, "RESERVATION_NOT_FOUND"));
    let requests = (0..1000).map(|index| cancel(&format!("many {index}"))).collect();
    let answer = caller.reservations.cancel_many(v1::CancelManyRequest { requests }).await.expect("answers");
    assert!(answer.into_inner().outcomes.into_iter().all(|outcome| came(outcome) == cancelled()));
}

#[tokio::test]
async fn what_is_done_is_told_though_another_of_the_many_takes_too_long() {
    // Sooner than the ledger gives the locked row up, which is told otherwise.
    let mut site = Site::start(&["--deadline-max", "3s", "--recover-grace", "1h"]).await;
    let location = || "elsewhere".to_owned();
    site.caller.set("a", 5).await;
    let items = vec![v1::SetStockItem { sku: "a".into(), on_hand: 5, ..Default::default() }];
    let stock = v1::SetStockRequest { location: location(), request_id: "s".into(), items };
    site.caller.stock.set_stock(stock).await.expect("set");
    site.caller.reserve("1", &[("a", 1)]).await.expect("held");
    let elsewhere = v1::ReserveRequest { location: location(), ..reserve("2", &[("a", 1)]) };
    site.caller.reservations.reserve(elsewhere).await.expect("held");

    let lock = lock_row(&site.database).await;
    let requests = vec![confirm("1"), v1::ConfirmRequest { location: location(), ..confirm("2") }];
    let outcomes = site.caller.reservations.confirm_many(v1::ConfirmManyRequest { requests }).await.expect("answers");
    let came_to: Vec<_> = outcomes.into_inner().outcomes.into_iter().map(came).collect();
    let too_long = Err(is(Code::DeadlineExceeded, "OUTCOME_UNKNOWN"));
    assert_eq!(came_to, [too_long, Ok(v1::ReservationState::Confirmed)]);
    lock.rollback().await.expect("unlocks");
    site.end().await;
}
